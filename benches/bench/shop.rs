//! What a shop's requests cost beside plain ones: holds of a client with a token, a buyer and a reference; holds beside others
//! with as much metadata as is accepted; a list of 1,000 products; pages of a client's orders.

use std::time::Duration;

use tokio::time::Instant;

use crate::Plan;
use crate::client::{Client, get, hold, post, with_token};
use crate::database::{Ground, PLENTY};
use crate::fill;
use crate::measure::{Load, Same, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const CONNECTIONS: usize = 512;
/// Pairs of a figure and its control, of which the medians are compared.
const PAIRS: usize = 5;
/// One of so many connections sends metadata.
const WRITERS: usize = 10;
/// Products in one request.
const PRODUCTS: usize = 1000;
/// Orders in a page.
const PAGE: usize = 100;
/// Pages that are read for each figure.
const PAGES: usize = 200;
const OPERATOR: &str = "the-operators-token-of-a-benchmark";

/// Measures each of them.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("A shop's requests");
    ground.clear().await;
    let served = Served::start_as(ground, plan, OPERATOR).await;
    let mut operator = Client::connect(served.address).await;
    let storefront = add_client(&mut operator).await;
    let stall = Stall { ground, plan, served: &served, product_id: ground.product(PLENTY).await };
    owned(&stall, &storefront.token, bounds).await;
    beside_metadata(&stall).await;
    bulk(&mut operator, bounds).await;
    pages(&stall, &storefront, bounds).await;
    served.stop().await;
}

struct Storefront {
    id: i64,
    token: String,
}

async fn add_client(operator: &mut Client) -> Storefront {
    let request = post("/api/admin/clients", r#"{"name":"shop","role":"storefront"}"#);
    let answer = operator.expect(&with_token(&request, OPERATOR), 201).await;
    Storefront { id: answer.number("id"), token: answer.text("token") }
}

/// Connections that take holds of one product.
struct Stall<'run> {
    ground: &'run Ground,
    plan: &'run Plan,
    served: &'run Served,
    product_id: i64,
}

impl Stall<'_> {
    /// Measures a crowd of which every connection repeats its own request.
    async fn measure(&self, name: &str, request: impl Fn(usize) -> Vec<u8>) -> Load {
        self.ground.clear().await;
        let clients = self.served.clients(CONNECTIONS).await.into_iter().enumerate();
        let buyers = clients.map(|(n, client)| Same { client, request: request(n), status: 201 });
        let load = cell(self.ground, self.plan, buyers).await.0;
        report::line(name, &[&report::whole(load.per_second), &report::short(load.p50), &report::short(load.p99)]);
        load
    }

    /// Returns the median of the ratios of `request` to plain holds.
    async fn compare(&self, name: &str, request: impl Fn(usize) -> Vec<u8>) -> f64 {
        let mut ratios = Vec::with_capacity(PAIRS);
        for _ in 0..PAIRS {
            let plain = self.measure("plain holds", |_| hold(self.product_id)).await;
            ratios.push(self.measure(name, &request).await.per_second / plain.per_second);
        }
        ratios.sort_unstable_by(f64::total_cmp);
        ratios[PAIRS / 2]
    }
}

/// Holds with a token, a buyer and a reference.
async fn owned(stall: &Stall<'_>, token: &str, bounds: &mut Bounds) {
    report::line("request", &["per s", "p50", "p99"]);
    let ratio = stall.compare("with token, buyer and reference", |n| owned_hold(stall.product_id, n, token)).await;
    bounds.add("shop: holds with token, buyer and reference / plain", Some(ratio), Target::AtLeast(0.85));
}

fn owned_hold(product_id: i64, n: usize, token: &str) -> Vec<u8> {
    let names = format!(r#""buyer":"customer-{n}","reference":"cart-{n}""#);
    with_token(&post("/api/holds", &format!(r#"{{"product_id":{product_id},"qty":1,{names}}}"#)), token)
}

/// Holds of which every tenth has as much metadata as is accepted.
async fn beside_metadata(stall: &Stall<'_>) {
    let value = "v".repeat(490);
    let metadata = format!(r#"{{"a":"{value}","b":"{value}","c":"{value}","d":"{value}"}}"#);
    let written = format!(r#"{{"product_id":{},"qty":1,"metadata":{metadata}}}"#, stall.product_id);
    let request = |n: usize| match n % WRITERS {
        0 => post("/api/holds", &written),
        _ => hold(stall.product_id),
    };
    let ratio = stall.compare("one of ten with 2 KB of metadata", request).await;
    println!("holds with 2 KB of metadata in every tenth / plain: {ratio:.2}");
}

/// A list of products, once new, once unchanged, and once with another price in each line.
async fn bulk(operator: &mut Client, bounds: &mut Bounds) {
    let list = |price: usize| {
        let line =
            |n| format!(r#"{{"sku":"bench-{n}","name":"One of a list","price_minor":{price},"currency":"EUR"}}"#);
        let lines: Vec<String> = (0..PRODUCTS).map(line).collect();
        let lines: Vec<String> = match price {
            1 => lines.iter().map(|line| format!(r#"{},"stock":5}}"#, &line[..line.len() - 1])).collect(),
            _ => lines,
        };
        let body = format!(r#"{{"items":[{}]}}"#, lines.join(","));
        with_token(&post("/api/admin/products/bulk", &body), OPERATOR)
    };
    report::line("list of products", &["took"]);
    for (name, price) in [("new", 1), ("changed", 2), ("unchanged", 2)] {
        let began = Instant::now();
        operator.expect(&list(price), 200).await;
        let took = began.elapsed();
        report::line(name, &[&report::short(took)]);
        let bound = Target::AtMost(0.3);
        bounds.add(format!("shop: {PRODUCTS} products, {name}, in s"), Some(took.as_secs_f64()), bound);
    }
}

/// Pages of a client's orders, of few orders and of many.
async fn pages(stall: &Stall<'_>, storefront: &Storefront, bounds: &mut Bounds) {
    report::line("page of orders", &["orders", "p50"]);
    let filters = ["", "&state=paid", "&buyer=customer-1", "&reference=cart-1"].map(str::to_owned);
    let filters = filters.into_iter().chain([format!("&product_id={}", stall.product_id)]);
    let requests: Vec<(String, Vec<u8>)> = filters
        .map(|filter| {
            let request = get(&format!("/api/orders?limit={PAGE}{filter}"));
            (filter, with_token(&request, &storefront.token))
        })
        .collect();
    let mut medians = Vec::new();
    for orders in [2 * PAGE as i64, stall.plan.orders] {
        stall.ground.clear().await;
        fill::finished(stall.ground, stall.product_id, orders).await;
        fill::owners(stall.ground, storefront.id, orders / PAGE as i64).await;
        medians.push(read_pages(stall.served, &requests, orders).await);
    }
    for (n, (filter, _)) in requests.iter().enumerate() {
        let ratio = medians[1][n].as_secs_f64() / medians[0][n].as_secs_f64();
        bounds.add(
            format!("shop: p50 of a page of orders, all{filter} / few orders"),
            Some(ratio),
            Target::AtMost(1.5),
        );
    }
}

/// Returns the median of each of the requests.
async fn read_pages(served: &Served, requests: &[(String, Vec<u8>)], orders: i64) -> Vec<Duration> {
    let mut client = Client::connect(served.address).await;
    let mut medians = Vec::new();
    for (filter, request) in requests {
        let mut took = Vec::with_capacity(PAGES);
        for _ in 0..PAGES {
            let began = Instant::now();
            client.expect(request, 200).await;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        report::line(&format!("all{filter}"), &[&report::whole(orders as f64), &report::short(took[PAGES / 2])]);
        medians.push(took[PAGES / 2]);
    }
    medians
}
