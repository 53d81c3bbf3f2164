//! Lists of holds and orders: own ones for a client, all for an operator, the newest first, page by page.

use chrono::NaiveDateTime;
use holdfast::app::App;
use holdfast::checkout::lists::Filter;
use holdfast::domain::{Caller, HoldStatus, OrderStatus};
use uuid::Uuid;

use super::{client, make, take};
use crate::support::crowd::sent;
use crate::support::{Shop, payment};

fn no_filter<Status>() -> Filter<Status> {
    Filter { status: None, buyer: None, reference: None, product_id: None, created_from: None, created_to: None }
}

fn in_state<Status>(status: Status) -> Filter<Status> {
    Filter { status: Some(status), ..no_filter() }
}

/// Reads all pages of a list of holds.
async fn holds(app: &App, caller: &Caller, filter: &Filter<HoldStatus>, limit: u32) -> Vec<Uuid> {
    let (mut ids, mut behind) = (Vec::new(), None);
    loop {
        let page = app.checkout.list_holds(caller, filter, behind, limit).await.expect("a page");
        assert!(page.items.len() <= limit as usize);
        ids.extend(page.items.iter().map(|lines| lines[0].id));
        behind = page.next;
        if behind.is_none() {
            return ids;
        }
    }
}

/// Reads all pages of a list of orders.
async fn orders(app: &App, caller: &Caller, filter: &Filter<OrderStatus>, limit: u32) -> Vec<Uuid> {
    let (mut ids, mut behind) = (Vec::new(), None);
    loop {
        let page = app.checkout.list_orders(caller, filter, behind, limit).await.expect("a page");
        assert!(page.items.len() <= limit as usize);
        assert!(page.items.iter().all(|placed| !placed.items.is_empty()));
        ids.extend(page.items.iter().map(|placed| placed.order.id));
        behind = page.next;
        if behind.is_none() {
            return ids;
        }
    }
}

/// What was made for one owner, the newest first.
#[derive(Default)]
struct Made {
    holds: Vec<Uuid>,
    orders: Vec<Uuid>,
}

/// Makes holds and orders in turns of all owners.
async fn fill(app: &App, product_id: i64, owners: &[(Caller, Option<&str>, Option<&str>)], count: usize) -> Vec<Made> {
    let mut made: Vec<Made> = owners.iter().map(|_| Made::default()).collect();
    for _ in 0..count {
        for ((caller, buyer, reference), made) in owners.iter().zip(&mut made) {
            let hold_id = take(app, caller, product_id, *buyer, *reference).await;
            made.holds.push(hold_id);
            made.orders.push(make(app, caller, hold_id, *reference).await.expect("its own hold"));
        }
    }
    for made in &mut made {
        // ids of one millisecond are in no order of time
        made.holds.sort_unstable_by(|one, other| other.cmp(one));
        made.orders.reverse();
    }
    made
}

#[tokio::test]
async fn a_client_lists_its_own_by_buyer_and_reference_and_an_operator_all() {
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    let app = shop.app();
    let owners = [
        (client(1), Some("b"), Some("r")),
        (client(1), Some("c"), None),
        (client(1), None, Some("s")),
        (client(2), Some("b"), Some("r")),
        (Caller::anonymous(), Some("b"), None),
        (Caller::anonymous(), None, None),
    ];
    let made = fill(&app, product_id, &owners, 7).await;
    let merged = |which: &[usize]| {
        let mut ids: Vec<Uuid> = which.iter().flat_map(|&owner| made[owner].holds.clone()).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids
    };
    let in_turns = |which: &[usize]| -> Vec<Uuid> {
        (0..7)
            .flat_map(|turn| which.iter().rev().map(move |&owner| (owner, turn)))
            .map(|(o, t)| made[o].orders[t])
            .collect()
    };
    let of = |buyer: Option<&str>, reference: Option<&str>| (buyer.map(str::to_owned), reference.map(str::to_owned));
    let narrowed = client(1).for_buyer("c".into());
    for (caller, (buyer, reference), which) in [
        (client(1), of(None, None), &[0, 1, 2][..]),
        (client(1), of(Some("b"), None), &[0]),
        (client(1), of(None, Some("r")), &[0]),
        (client(1), of(Some("c"), Some("r")), &[]),
        (client(1), of(None, Some("s")), &[2]),
        (client(2), of(None, None), &[3]),
        (client(2), of(None, Some("s")), &[]),
        (client(3), of(None, None), &[]),
        (narrowed.clone(), of(None, None), &[1]),
        (narrowed, of(None, Some("r")), &[]),
        (Caller::operator(), of(None, None), &[0, 1, 2, 3, 4, 5]),
        (Caller::operator(), of(Some("b"), None), &[0, 3, 4]),
        (Caller::operator(), of(None, Some("r")), &[0, 3]),
    ] {
        for limit in [1, 3, 100] {
            let filter = Filter { buyer: buyer.clone(), reference: reference.clone(), ..no_filter() };
            let listed = holds(&app, &caller, &filter, limit).await;
            assert_eq!(listed, merged(which), "{caller:?} {filter:?} {limit}");
            let filter = Filter { buyer: buyer.clone(), reference: reference.clone(), ..no_filter() };
            let listed = orders(&app, &caller, &filter, limit).await;
            assert_eq!(listed, in_turns(which), "{caller:?} {filter:?} {limit}");
        }
    }
}

#[tokio::test]
async fn lists_are_filtered_by_state_product_and_time() {
    let shop = Shop::open().await;
    let (product_id, other) = (shop.product(10_000).await, shop.product(10_000).await);
    let app = shop.app();
    let one = client(1);
    let made = fill(&app, product_id, &[(one.clone(), Some("b"), None)], 6).await.remove(0);
    let elsewhere = fill(&app, other, &[(one.clone(), Some("b"), None)], 2).await.remove(0);
    let active = take(&app, &one, product_id, Some("b"), None).await;
    let paid = made.orders[2];
    app.checkout.receive_event(payment(paid, "key")).await.expect("it is paid");
    app.checkout.cancel_order(&one, made.orders[4]).await.expect("it is cancelled");
    for caller in [one.clone(), Caller::operator()] {
        assert_eq!(holds(&app, &caller, &in_state(HoldStatus::Active), 1).await, [active]);
        assert_eq!(orders(&app, &caller, &in_state(OrderStatus::Paid), 1).await, [paid]);
        assert_eq!(orders(&app, &caller, &in_state(OrderStatus::Cancelled), 100).await, [made.orders[4]]);
        assert_eq!(orders(&app, &caller, &in_state(OrderStatus::Pending), 2).await.len(), 6);
        let of = Filter { product_id: Some(other), ..no_filter() };
        assert_eq!(orders(&app, &caller, &of, 1).await, elsewhere.orders);
        let of = Filter { product_id: Some(other), ..no_filter() };
        assert_eq!(holds(&app, &caller, &of, 1).await, elsewhere.holds);
    }
    let at = async |place: usize| -> NaiveDateTime {
        let query = format!("SELECT created_at FROM orders WHERE id = x'{}'", made.orders[place].simple());
        shop.row(&query).await
    };
    let (from, to) = (at(3).await, at(1).await);
    for caller in [one, Caller::operator()] {
        let between = Filter { created_from: Some(from), created_to: Some(to), ..no_filter() };
        for limit in [1, 2, 3] {
            assert_eq!(orders(&app, &caller, &between, limit).await, made.orders[2..4], "from is in, to is not");
            // a page that its last row fills is not the last page
            let before = Filter { created_to: Some(to), ..no_filter() };
            assert_eq!(orders(&app, &caller, &before, limit).await, made.orders[2..], "{limit}");
        }
    }
}

#[tokio::test]
async fn an_order_that_changes_its_state_while_pages_are_read_is_neither_lost_nor_doubled() {
    let shop = Shop::open().await;
    let product_id = shop.product(1_000).await;
    let app = shop.app();
    let made = fill(&app, product_id, &[(Caller::anonymous(), None, None)], 20).await.remove(0);
    let (mut listed, mut behind) = (Vec::new(), None);
    for turn in 0.. {
        let page = app.checkout.list_orders(&Caller::operator(), &no_filter(), behind, 3).await.expect("a page");
        listed.extend(page.items.iter().map(|placed| placed.order.id));
        // one that was listed, and one that was not
        for order_id in [made.orders[turn * 3], made.orders[(turn * 3 + 5).min(19)]] {
            app.checkout.cancel_order(&Caller::operator(), order_id).await.expect("it is pending, or was");
        }
        behind = page.next;
        if behind.is_none() {
            break;
        }
    }
    assert_eq!(listed, made.orders);
}

#[tokio::test]
async fn a_page_that_the_first_rows_fill_reads_no_more_rows_for_its_filter() {
    let shop = Shop::open().await;
    let product_id = shop.product(1_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let one = client(1);
    let made = fill(&app, product_id, &[(one.clone(), None, None)], 6).await.remove(0);
    app.checkout.cancel_order(&one, made.orders[3]).await.expect("it is pending");
    let reads = |name| sent(&proxy, name);
    for (state, limit, listed, count) in [
        (OrderStatus::Pending, 2, &made.orders[..2], 1),
        // the third row shows that another page follows
        (OrderStatus::Pending, 3, &made.orders[..3], 1),
        (OrderStatus::Cancelled, 3, &made.orders[3..4], 2),
        (OrderStatus::Pending, 6, &[&made.orders[..3], &made.orders[4..]].concat()[..], 1),
    ] {
        proxy.clear();
        let page = app.checkout.list_orders(&one, &in_state(state), None, limit).await.expect("a page");
        let ids: Vec<Uuid> = page.items.iter().map(|placed| placed.order.id).collect();
        assert_eq!((&ids[..], reads("order_owners/list_of_client")), (listed, count), "{state:?} {limit}");
    }
    proxy.clear();
    let page = app.checkout.list_holds(&one, &in_state(HoldStatus::Ordered), None, 2).await.expect("a page");
    let ids: Vec<Uuid> = page.items.iter().map(|lines| lines[0].id).collect();
    assert_eq!((&ids[..], page.next.is_some(), reads("hold_owners/list_of_client")), (&made.holds[..2], true, 1));
}
