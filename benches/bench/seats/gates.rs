//! Tickets redeemed at eight gates over HTTP, and without it, beside one guarded transaction for each on a bare connection: the update
//! alone, and the same rows, which are the update, the ticket that the gate is shown, and what the feed is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use holdfast::checkout::{Checkout, Policy, Redeem};
use holdfast::db::Database;
use holdfast::db::tables::tickets::{list_all_by_code, read_rows, redeem_all};
use holdfast::db::told::Told;
use holdfast::domain::{Audience, FeedItem, FeedType, TicketCode, mint_id};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::{OPERATOR, hall, show};
use crate::Plan;
use crate::client::{Client, post, with_token};
use crate::connections::connect;
use crate::database::Ground;
use crate::measure::{Buyer, Load, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

/// Gates at the same time.
const GATES: usize = 8;
/// Tickets for one figure, more than a run redeems.
const TICKETS: usize = 100_000;
/// Tickets that all gates see at the same moment.
const SHARED: usize = 500;

/// Measures each way, and then shows the same tickets at all gates.
pub(super) async fn run(ground: &Ground, plan: &Plan, served: &Served, bounds: &mut Bounds) {
    report::heading(&format!("Tickets redeemed at {GATES} gates"));
    report::line("way", &["tickets/s", "p50", "p99"]);
    let product_id = hall(served, 1).await;
    let plain = tickets(ground, product_id, TICKETS).await;
    let direct = bare(ground, plan, &plain, |conn, pile| Plain { conn, pile }).await;
    show("one guarded transaction each", direct);
    check(ground, &plain).await;
    let pile = tickets(ground, product_id, TICKETS).await;
    let same_rows = bare(ground, plan, &pile, |conn, pile| SameRows { conn, pile }).await;
    show("the same rows in one transaction each", same_rows);
    check(ground, &pile).await;
    let pile = tickets(ground, product_id, TICKETS).await;
    let checkout = Arc::new(Checkout::new(Database::new(ground.opts.clone(), 64), Policy::default()));
    let buyers = (0..GATES).map(|_| Direct { checkout: Arc::clone(&checkout), pile: Arc::clone(&pile) });
    let within = cell(ground, plan, buyers).await.0;
    show("the use case without HTTP", within);
    check(ground, &pile).await;
    checkout.finish().await;
    checkout.close().await;
    let pile = tickets(ground, product_id, TICKETS).await;
    let clients = served.clients(GATES).await;
    let ours = cell(ground, plan, clients.into_iter().map(|client| Gate { client, pile: Arc::clone(&pile) })).await.0;
    show("Holdfast over HTTP", ours);
    check(ground, &pile).await;
    let ratio = ours.per_second / direct.per_second;
    bounds.add("seats: redeeming / one guarded transaction each", Some(ratio), Target::AtLeast(1.0));
    let ratio = ours.per_second / same_rows.per_second;
    bounds.add("seats: redeeming / the same rows in one transaction each", Some(ratio), Target::AtLeast(1.0));

    let shared = tickets(ground, product_id, SHARED).await;
    let admitted: usize =
        join_all(served.clients(GATES).await.into_iter().map(|client| admit(client, &shared))).await.iter().sum();
    assert_eq!(admitted, SHARED, "a ticket admits once, whatever gates see it");
    ground.execute("TRUNCATE TABLE tickets").await;
}

/// Measures gates that redeem a pile over bare connections, one for each.
async fn bare<B: Buyer>(ground: &Ground, plan: &Plan, pile: &Arc<Pile>, gate: fn(Conn, Arc<Pile>) -> B) -> Load {
    let mut gates = Vec::new();
    for _ in 0..GATES {
        gates.push(gate(connect(&ground.opts).await, Arc::clone(pile)));
    }
    cell(ground, plan, gates).await.0
}

/// Valid tickets, and how many of them were taken off the pile.
struct Pile {
    codes: Vec<TicketCode>,
    taken: AtomicUsize,
}

impl Pile {
    fn next(&self) -> TicketCode {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        *self.codes.get(place).expect("all tickets are redeemed: use a smaller --seconds")
    }
}

/// Writes so many tickets.
async fn tickets(ground: &Ground, product_id: i64, count: usize) -> Arc<Pile> {
    ground.execute("TRUNCATE TABLE tickets").await;
    let codes: Vec<TicketCode> = (0..count).map(|_| TicketCode::mint()).collect();
    let row = |code: &TicketCode| format!("(x'{}', {product_id}, 1, 1, x'{}')", mint_id().simple(), hex(code));
    for codes in codes.chunks(2_000) {
        let rows: Vec<String> = codes.iter().map(row).collect();
        let columns = "order_id, product_id, unit, event_id, code";
        ground.execute(&format!("INSERT INTO tickets ({columns}) VALUES {}", rows.join(", "))).await;
    }
    Arc::new(Pile { codes, taken: AtomicUsize::new(0) })
}

fn hex(code: &TicketCode) -> String {
    code.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that the tickets that were taken off a pile are redeemed, and no others.
async fn check(ground: &Ground, pile: &Pile) {
    let redeemed: i64 = ground.value("SELECT COUNT(*) FROM tickets WHERE status = 'redeemed'").await;
    assert_eq!(redeemed, pile.taken.load(Ordering::Relaxed) as i64, "each answer is a ticket that is redeemed");
}

fn redeem(code: TicketCode) -> Vec<u8> {
    with_token(&post(&format!("/api/tickets/{}/redeem", code.reveal()), r#"{"gate":"North"}"#), OPERATOR)
}

/// Redeems one ticket after the other over HTTP.
struct Gate {
    client: Client,
    pile: Arc<Pile>,
}

impl Buyer for Gate {
    async fn ask(&mut self) {
        self.client.expect(&redeem(self.pile.next()), 200).await;
    }
}

fn request(code: TicketCode) -> Redeem {
    Redeem { code, gate: Some("North".to_owned()), redeemed_by: "operator".to_owned(), key: rand::random() }
}

/// Redeems one ticket after the other with the use case alone.
struct Direct {
    checkout: Arc<Checkout>,
    pile: Arc<Pile>,
}

impl Buyer for Direct {
    async fn ask(&mut self) {
        let request = request(self.pile.next());
        assert!(!self.checkout.redeem_ticket(request).await.expect("a ticket").replayed, "it is redeemed once");
    }
}

/// Shows all tickets at one gate. Returns how many admitted.
async fn admit(mut client: Client, pile: &Pile) -> usize {
    let mut admitted = 0;
    for code in &pile.codes {
        let answer = client.send(&redeem(*code)).await;
        match answer.status {
            200 => admitted += 1,
            409 => {}
            status => panic!("{status}: {}", String::from_utf8_lossy(answer.body)),
        }
    }
    admitted
}

/// Redeems with one transaction each: the guarded update in one packet with BEGIN, and COMMIT.
struct Plain {
    conn: Conn,
    pile: Arc<Pile>,
}

impl Buyer for Plain {
    async fn ask(&mut self) {
        let set = "status = 'redeemed', redeemed_at = NOW(6), redeemed_by = 'operator', gate = 'North'";
        let code = hex(&self.pile.next());
        let packet = format!("BEGIN; UPDATE tickets SET {set} WHERE code = x'{code}' AND status = 'valid'");
        let mut result = self.conn.query_iter(packet).await.expect("the packet runs");
        let _: Vec<Row> = result.collect().await.expect("a reply");
        assert_eq!(result.affected_rows(), 1, "a valid ticket admits");
        result.drop_result().await.expect("the last reply");
        self.conn.query_drop("COMMIT").await.expect("the commit succeeds");
    }
}

/// Redeems with one transaction each, which reads the ticket and tells the feed as the service does.
struct SameRows {
    conn: Conn,
    pile: Arc<Pile>,
}

impl Buyer for SameRows {
    async fn ask(&mut self) {
        let request = request(self.pile.next());
        let update = redeem_all(&BTreeMap::from([(request.code, &request)]));
        let packet = format!("BEGIN;\n{update};\n{}", list_all_by_code([&request.code]));
        let mut result = self.conn.query_iter(packet).await.expect("the packet runs");
        let _: Vec<Row> = result.collect().await.expect("a reply to BEGIN");
        assert_eq!(result.affected_rows(), 1, "a valid ticket admits");
        let _: Vec<Row> = result.collect().await.expect("a reply to the update");
        let rows: Vec<Row> = result.collect().await.expect("a ticket");
        result.drop_result().await.expect("the last reply");
        let place = read_rows(&rows).expect("a ticket").remove(0).place;
        let redeemed = FeedItem::new(FeedType::TicketRedeemed, Audience::Client(0));
        let mut told = Told::default();
        told.extend([redeemed.about_order(place.order_id).of_product(place.product_id)]);
        let told = told.statement().expect("an event");
        self.conn.query_drop(format!("{told};\nCOMMIT")).await.expect("the commit succeeds");
    }
}
