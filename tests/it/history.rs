//! A history of concurrent calls and returns in real time, checked afterwards: a read shows every change that was acknowledged
//! before it began, and none that began after it ended.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use holdfast::app::App;
use holdfast::checkout::{Error, HoldLine};
use holdfast::config::Config;
use holdfast::domain::Refusal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Client, Shop, together};

/// The times when a call began and when it returned.
#[derive(Debug, Clone, Copy)]
struct Span {
    called: Instant,
    returned: Instant,
}

/// All calls about one product.
#[derive(Default)]
struct History {
    /// Acknowledged holds, with the units that they took.
    holds: Vec<(Span, i64)>,
    /// Acknowledged releases, with the units that they gave back.
    releases: Vec<(Span, i64)>,
    /// The units that were on sale according to a read, with the kind of the read.
    reads: Vec<(Span, i64, &'static str)>,
}

/// Running totals of units by time.
struct Sums(Vec<(Instant, i64)>);

impl Sums {
    fn of(changes: &[(Span, i64)], time: impl Fn(&Span) -> Instant) -> Self {
        let mut times: Vec<(Instant, i64)> = changes.iter().map(|(span, qty)| (time(span), *qty)).collect();
        times.sort_unstable();
        let mut sum = 0;
        for (_, qty) in &mut times {
            sum += *qty;
            *qty = sum;
        }
        Self(times)
    }

    fn before(&self, moment: Instant) -> i64 {
        let count = self.0.partition_point(|(time, _)| *time < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

impl History {
    /// Returns the reads that no order of these changes explains.
    fn wrong(&self, stock: i64) -> Vec<String> {
        let [held_first, given_first] = [&self.holds, &self.releases].map(|all| Sums::of(all, |span| span.called));
        let [held_last, given_last] = [&self.holds, &self.releases].map(|all| Sums::of(all, |span| span.returned));
        let wrong = self.reads.iter().filter_map(|(Span { called, returned }, available, how)| {
            let lowest = stock - held_first.before(*returned) + given_last.before(*called);
            let highest = stock - held_last.before(*called) + given_first.before(*returned);
            let fits = (lowest..=highest).contains(available);
            (!fits).then(|| format!("{how} shows {available} where {lowest} to {highest} are possible"))
        });
        wrong.collect()
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> (Span, T) {
    let called = Instant::now();
    let value = work.await;
    (Span { called, returned: Instant::now() }, value)
}

/// A client that takes holds and releases them, and records every result.
struct Buyer {
    app: Arc<App>,
    product_id: i64,
    luck: StdRng,
    held: Vec<HoldLine>,
    history: Arc<Mutex<History>>,
}

impl Buyer {
    fn note(&self, write: impl FnOnce(&mut History)) {
        write(&mut self.history.lock().expect("no panic while this is locked"));
    }

    /// Takes this number of holds, keeps at most one between two turns, and comes again after each refusal.
    async fn buy(mut self, holds: usize) {
        let mut taken = 0;
        while taken < holds {
            taken += usize::from(self.hold().await);
            if self.held.len() > 1 {
                self.release().await;
            }
        }
    }

    /// Returns whether the hold was taken.
    async fn hold(&mut self) -> bool {
        let qty = self.luck.random_range(1..=3);
        let (span, answer) =
            timed(self.app.checkout.create_hold(holdfast::checkout::NewHold::new(self.product_id, qty, None))).await;
        match answer {
            Ok(taken) => {
                self.note(|history| history.holds.push((span, qty)));
                self.held.push(taken.hold);
                true
            }
            Err(Error::Refused(Refusal::SoldOut { available_stock } | Refusal::AllHeld { available_stock, .. })) => {
                self.note(|history| history.reads.push((span, available_stock, "a refusal")));
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn release(&mut self) {
        let hold = self.held.swap_remove(self.luck.random_range(0..self.held.len()));
        let (span, released) =
            timed(self.app.checkout.release_hold(&holdfast::domain::Caller::operator(), hold.id)).await;
        released.expect("it is active");
        self.note(|history| history.releases.push((span, hold.qty)));
    }
}

/// Reads by the use case and by HTTP in turn, until `over` is set.
async fn watch(app: Arc<App>, client: Client, product_id: i64, history: Arc<Mutex<History>>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::SeqCst) {
        let (span, product) = timed(app.checkout.product(product_id)).await;
        let (http_span, available) = timed(client.available(product_id)).await;
        let mut history = history.lock().expect("no panic while this is locked");
        history.reads.push((span, product.expect("it is there").product.available, "a read"));
        history.reads.push((http_span, available, "a GET"));
    }
}

/// Runs buyers and readers at once on this many instances, and checks their history.
async fn check_history(instances: usize) {
    // the holds that buyers keep between two turns are at most 96 units, so that every buyer can go on
    const STOCK: i64 = 100;
    const BUYERS: usize = 32;
    const HOLDS: usize = 25;
    let shop = Shop::open().await;
    let product_id = shop.product(STOCK).await;
    let mut services = Vec::new();
    for _ in 0..instances {
        // releases are limited to a share of the pool, which must not limit the number of changes
        services.push(shop.serve_without_workers_as(Config { pool_size: 32, ..shop.config() }).await);
    }
    let (history, over) = (Arc::<Mutex<History>>::default(), Arc::<AtomicBool>::default());
    let service = |n: usize| &services[n % instances];
    let buyers = (0..BUYERS).map(|n| {
        let (app, history, luck) = (Arc::clone(&service(n).app), Arc::clone(&history), StdRng::seed_from_u64(n as u64));
        Buyer { app, product_id, luck, held: Vec::new(), history }.buy(HOLDS)
    });
    let watchers = (0..6).map(|n| {
        let (app, client) = (Arc::clone(&service(n).app), service(n).client.clone());
        watch(app, client, product_id, Arc::clone(&history), Arc::clone(&over))
    });
    let watching = tokio::spawn(together(watchers.collect::<Vec<_>>()));
    together(buyers.collect::<Vec<_>>()).await;
    over.store(true, Ordering::SeqCst);
    watching.await.expect("no panic");
    let history = std::mem::take(&mut *history.lock().expect("no panic while this is locked"));
    let (changes, reads) = (history.holds.len() + history.releases.len(), history.reads.len());
    assert_eq!(changes, BUYERS * (2 * HOLDS - 1), "each hold but a buyer's last one was released");
    assert!(reads > 200, "{reads} reads");
    let wrong = history.wrong(STOCK);
    assert!(wrong.is_empty(), "{} of {reads}: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_shows_what_was_acknowledged_before_it() {
    check_history(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_on_either_of_two_instances_shows_what_was_acknowledged_before_it() {
    check_history(2).await;
}

#[test]
fn the_checker_distinguishes_a_stale_read_from_a_fresh_one() {
    let start = Instant::now();
    let at = |ms: u64| start + std::time::Duration::from_millis(ms);
    let span = |called, returned| Span { called: at(called), returned: at(returned) };
    let (holds, releases) = (vec![(span(10, 20), 3)], vec![(span(50, 60), 3)]);
    let read = |called, returned, available| (span(called, returned), available, "a read");
    let right =
        [read(0, 5, 10), read(12, 15, 10), read(12, 15, 7), read(30, 40, 7), read(52, 55, 10), read(70, 80, 10)];
    let wrong = [read(0, 5, 7), read(30, 40, 10), read(12, 15, 8 - 2), read(70, 80, 7)];
    let history = History { holds, releases, reads: right.into_iter().chain(wrong).collect() };
    assert_eq!(history.wrong(10).len(), wrong.len(), "{:?}", history.wrong(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_reads_after_an_acknowledged_hold_all_show_it() {
    const BUYERS: usize = 250;
    const TURNS: usize = 80;
    let shop = Shop::open().await;
    let product_id = shop.product(100_000).await;
    let apps = [shop.app(), shop.app()];
    let acknowledged = Arc::new(AtomicI64::new(0));
    let buyers = (0..BUYERS).map(|n| {
        let (app, other) = (Arc::clone(&apps[n % 2]), Arc::clone(&apps[n / 2 % 2]));
        let acknowledged = Arc::clone(&acknowledged);
        async move {
            let mut stale = 0;
            for _ in 0..TURNS {
                app.checkout
                    .create_hold(holdfast::checkout::NewHold::new(product_id, 1, None))
                    .await
                    .expect("enough units");
                let least = acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
                let product = other.checkout.product(product_id).await.expect("it is there");
                stale += usize::from(product.product.stock - product.product.available < least);
            }
            stale
        }
    });
    let stale: usize = together(buyers.collect::<Vec<_>>()).await.into_iter().sum();
    assert_eq!(stale, 0, "stale of {}", BUYERS * TURNS);
    assert_eq!(shop.reserved(product_id).await, (BUYERS * TURNS) as i64);
}
