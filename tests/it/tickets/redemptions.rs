//! Redemptions share transactions, and each gets the answer that it would get alone.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::tickets::Made;
use holdfast::checkout::{Error, Redeem, Ticket};
use holdfast::domain::{Missing, Refusal, TicketCode, TicketRefusal, TicketStatus};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use serde_json::json;
use tokio::task::JoinHandle;

use super::redeemed::sold;
use super::{event, office, standing, ticket_type};
use crate::support::crowd::{Jam, SLOTS, all, held_up, in_order, sent};
use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::{Shop, together, with};

type Answer = Result<Made<Ticket>, Error>;

/// Sells so many places; returns the codes of their tickets, ten of which are of one order.
async fn tickets(shop: &Shop, count: usize) -> Vec<TicketCode> {
    let client = office(shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &with(&standing(), json!({ "stock": count }))).await;
    let mut tickets = Vec::new();
    while tickets.len() < count {
        let (_, codes) = sold(&client, product_id, (count - tickets.len()).min(10) as i64).await;
        tickets.extend(codes.iter().map(|code| TicketCode::parse(code).expect("a code")));
    }
    tickets
}

/// A request of a gate with this key.
fn at(gate: impl ToString, key: u8, code: TicketCode) -> Redeem {
    let gate = gate.to_string();
    Redeem { code, redeemed_by: format!("client of {gate}"), gate: Some(gate), key: [key; 32] }
}

fn redeem(app: &Arc<App>, request: Redeem) -> impl Future<Output = Answer> + Send + use<> {
    let app = Arc::clone(app);
    async move { app.checkout.redeem_ticket(request).await }
}

/// Holds up the lane, each batch with one of these tickets, and queues the requests behind it.
async fn queued(
    app: &Arc<App>,
    proxy: &Proxy,
    first: &[TicketCode],
    requests: impl IntoIterator<Item = Redeem>,
) -> (Jam<Answer>, Vec<JoinHandle<Answer>>) {
    let first = first.iter().map(|&code| redeem(app, at("first", 0, code)));
    let jam = held_up(proxy, first).await;
    let crowd = in_order(requests.into_iter().map(|request| redeem(app, request)));
    proxy.clear();
    (jam, crowd)
}

/// Checks that an answer is that of the request that has redeemed the ticket, and how it stands in the database.
async fn assert_admitted(shop: &Shop, answer: &Answer, request: &Redeem, replayed: bool) {
    let Made { made, replayed: was } = answer.as_ref().unwrap_or_else(|error| panic!("{request:?}: {error}"));
    assert_eq!((made.code, made.place.status, *was), (request.code, TicketStatus::Redeemed, replayed), "{request:?}");
    let (gate, by, key) = (&made.gate, made.redeemed_by.as_ref(), made.redeem_key.as_deref());
    assert_eq!((gate, by, key), (&request.gate, Some(&request.redeemed_by), Some(request.key.as_slice())));
    let hex: String = request.code.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let stored = format!("SELECT CAST(gate AS CHAR), redeemed_at FROM tickets WHERE code = x'{hex}'");
    assert_eq!(shop.row::<(Option<String>, _)>(&stored).await, (made.gate.clone(), made.redeemed_at));
}

fn already_redeemed_at(answer: &Answer) -> Option<String> {
    match answer {
        Err(Error::Refused(Refusal::Ticket(TicketRefusal::AlreadyRedeemed { gate, .. }))) => gate.clone(),
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn redemptions_that_wait_for_a_commit_are_sent_in_one_packet_and_each_is_recorded_as_its_own() {
    let shop = Shop::open().await;
    let codes = tickets(&shop, SLOTS + 60).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let mut requests: Vec<Redeem> = (1..).zip(&codes[SLOTS..]).map(|(n, &code)| at(n, n, code)).collect();
    requests[7].gate = None;
    requests[8].redeemed_by = requests[9].redeemed_by.clone();
    let (jam, crowd) = queued(&app, &proxy, &codes[..SLOTS], requests.clone()).await;
    assert!(jam.release().await.iter().all(Result::is_ok));
    let answers = all(crowd).await;
    let statements: Vec<String> = proxy.statements().into_iter().filter(|statement| *statement != "COMMIT").collect();
    let beginnings: Vec<&str> =
        statements.iter().map(|text| text.split([';', ':']).next().unwrap_or_default()).collect();
    assert_eq!(beginnings, ["BEGIN", "-- feed_batches/insert"], "{statements:?}");
    for (answer, request) in answers.iter().zip(&requests) {
        assert_admitted(&shop, answer, request, false).await;
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_500_requests_on_two_instances_for_one_ticket_one_admits() {
    let shop = Shop::open().await;
    for code in tickets(&shop, 3).await {
        let apps = [shop.app(), shop.app()];
        let scan = |n: usize| {
            let request = Redeem { key: rand::random(), ..at(n, 0, code) };
            redeem(&apps[n % 2], request)
        };
        let answers = together((0..500).map(scan)).await;
        let winners: Vec<usize> = (0..500).filter(|&n| answers[n].is_ok()).collect();
        let [winner] = winners.as_slice() else { panic!("{winners:?} admit") };
        for (_, answer) in answers.iter().enumerate().filter(|(n, _)| n != winner) {
            assert_eq!(already_redeemed_at(answer), Some(winner.to_string()));
        }
    }
    shop.assert_conserved().await;
}

/// The lane is held up, so all of these are in one batch.
#[tokio::test]
async fn requests_for_the_same_ticket_in_one_batch_are_answered_one_after_the_other() {
    let shop = Shop::open().await;
    let codes = tickets(&shop, SLOTS + 4).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let [new, used, void, other] = codes[SLOTS..] else { panic!("four tickets") };
    redeem(&app, at("west", 9, used)).await.expect("a valid ticket");
    let hex: String = void.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let unknown = TicketCode::mint();
    let requests = [
        at("north", 1, new),
        at("north", 1, new),
        at("south", 1, new),
        at("south", 2, new),
        // its first request is not the one that it has admitted for
        at("east", 3, used),
        at("west", 9, used),
        at("north", 4, void),
        at("north", 5, unknown),
        at("north", 6, other),
    ];
    let (jam, crowd) = queued(&app, &proxy, &codes[..SLOTS], requests.clone()).await;
    shop.execute(&format!("UPDATE tickets SET status = 'void', voided_at = NOW(6) WHERE code = x'{hex}'")).await;
    jam.release().await;
    let answers = all(crowd).await;
    assert_eq!(sent(&proxy, "tickets/redeem"), 1, "one batch");
    assert_admitted(&shop, &answers[0], &requests[0], false).await;
    assert_admitted(&shop, &answers[1], &requests[1], true).await;
    assert!(matches!(&answers[2], Err(Error::Refused(Refusal::IdempotencyKeyReuse))), "{:?}", answers[2]);
    assert_eq!(already_redeemed_at(&answers[3]).as_deref(), Some("north"));
    assert_eq!(already_redeemed_at(&answers[4]).as_deref(), Some("west"));
    assert_admitted(&shop, &answers[5], &requests[5], true).await;
    assert!(matches!(&answers[6], Err(Error::Refused(Refusal::Ticket(TicketRefusal::Void)))), "{:?}", answers[6]);
    assert!(matches!(&answers[7], Err(Error::Refused(Refusal::Missing(Missing::Ticket)))), "{:?}", answers[7]);
    assert_admitted(&shop, &answers[8], &requests[8], false).await;
    // where the batch changes nothing, the repetition waits for the disk
    let (jam, crowd) = queued(&app, &proxy, &codes[..SLOTS], requests[4..6].iter().cloned()).await;
    jam.release().await;
    let answers = all(crowd).await;
    assert_eq!((sent(&proxy, "tickets/redeem"), sent(&proxy, "idempotency_keys/insert")), (1, 1));
    assert_eq!(already_redeemed_at(&answers[0]).as_deref(), Some("west"));
    assert_admitted(&shop, &answers[1], &requests[5], true).await;
}

/// The number of changed rows does not say which ones a batch has changed.
#[tokio::test]
async fn a_repetition_in_a_batch_of_first_requests_is_told_to_be_one_and_the_others_are_not() {
    let shop = Shop::open().await;
    let codes = tickets(&shop, SLOTS + 10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let requests: Vec<Redeem> = (1..).zip(&codes[SLOTS..]).map(|(n, &code)| at(n, n, code)).collect();
    for request in &requests[3..6] {
        redeem(&app, request.clone()).await.expect("a valid ticket");
    }
    let (jam, crowd) = queued(&app, &proxy, &codes[..SLOTS], requests.clone()).await;
    // after the read of the second attempt, another instance redeems a ticket for the same request
    let packet = proxy.on(Rule::from("-- tickets/redeem:").skip(1), Action::PauseBefore);
    jam.release().await;
    packet.reached().await;
    let before = redeem(&shop.app(), requests[0].clone()).await;
    assert_admitted(&shop, &before, &requests[0], false).await;
    drop(packet);
    for (n, answer) in all(crowd).await.iter().enumerate() {
        assert_admitted(&shop, answer, &requests[n], n == 0 || (3..6).contains(&n)).await;
    }
    // nothing else has changed: they are repetitions as well, which wait for the disk
    let (jam, crowd) = queued(&app, &proxy, &[], requests.clone()).await;
    jam.release().await;
    for (answer, request) in all(crowd).await.iter().zip(&requests) {
        assert_admitted(&shop, answer, request, true).await;
    }
    let commits = proxy.statements().iter().filter(|statement| *statement == "COMMIT").count();
    assert_eq!(sent(&proxy, "idempotency_keys/insert"), commits, "each answer is on disk");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_of_redemptions_that_is_cut_anywhere_admits_with_each_ticket_once_and_is_answered_with_it() {
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    for rule in [Rule::from("-- tickets/redeem:"), Rule::exactly("COMMIT")] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let codes = tickets(&shop, SLOTS + 20).await;
            let requests: Vec<Redeem> = (1..).zip(&codes[SLOTS..]).map(|(n, &code)| at(n, n, code)).collect();
            let copy = requests[0].clone();
            let all_of_them = requests.iter().cloned().chain([copy]);
            let (jam, crowd) = queued(&app, &proxy, &codes[..SLOTS], all_of_them).await;
            let cut = proxy.on(rule.clone(), action);
            jam.release().await;
            let mut answers = all(crowd).await;
            assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
            assert_admitted(&shop, &answers.pop().expect("an answer"), &requests[0], true).await;
            for (answer, request) in answers.iter().zip(&requests) {
                assert_admitted(&shop, answer, request, false).await;
                assert_admitted(&shop, &redeem(&app, request.clone()).await, request, true).await;
            }
        }
    }
    shop.assert_conserved().await;
}

/// Locks tickets from another client, until the connection is dropped.
async fn lock(shop: &Shop, codes: &[TicketCode]) -> Conn {
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction begins");
    for code in codes {
        let hex: String = code.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let update = format!("UPDATE tickets SET issued_at = issued_at + INTERVAL 1 SECOND WHERE code = x'{hex}'");
        conn.query_drop(update).await.expect("the row is free");
    }
    conn
}

#[tokio::test]
async fn redemptions_of_locked_tickets_do_not_delay_others() {
    let shop = Shop::open().await;
    let codes = tickets(&shop, 4).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let locked = lock(&shop, &codes[..2]).await;
    // they occupy both slots for batches
    let mut waiting = Vec::new();
    for &code in &codes[..2] {
        let packet = proxy.on("-- tickets/redeem:", Action::PauseBefore);
        waiting.extend(in_order([redeem(&app, at("first", 1, code))]));
        packet.reached().await;
    }
    for &code in &codes[2..] {
        redeem(&app, at("second", 2, code)).await.expect("a valid ticket");
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "the others still wait");
    drop(locked);
    for answer in all(waiting).await {
        answer.expect("a valid ticket");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_locked_ticket_costs_the_others_in_its_batch_one_lock_wait() {
    let shop = Shop::open().await;
    let codes = tickets(&shop, SLOTS + 30).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let (first, others) = codes.split_at(SLOTS);
    let requests = || (1..).zip(others).map(|(n, &code)| at("north", n, code));
    let (jam, mut crowd) = queued(&app, &proxy, first, requests()).await;
    let stuck = crowd.remove(0);
    let locked = lock(&shop, &others[..1]).await;
    jam.release().await;
    let answers = all(crowd).await;
    assert!(!stuck.is_finished(), "it waits for its ticket alone");
    let together = |text: &String| text.contains("-- tickets/redeem:") && text.contains("CASE");
    assert_eq!(proxy.statements().iter().filter(|text| together(text)).count(), 1, "the batch runs only once");
    drop(locked);
    assert_admitted(&shop, &stuck.await.expect("no panic"), &requests().next().expect("a request"), false).await;
    for (answer, request) in answers.iter().zip(requests().skip(1)) {
        assert_admitted(&shop, answer, &request, false).await;
    }
    shop.assert_conserved().await;
}
