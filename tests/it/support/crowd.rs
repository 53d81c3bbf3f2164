//! Crowds of requests that call the use cases directly, in an order that the test chooses.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use holdfast::app::App;
use holdfast::checkout::Placed;
use holdfast::checkout::Taken;
use holdfast::checkout::payments::receipt::Receipt;
use holdfast::checkout::{Error, IdempotentRequest, Operation};
use holdfast::domain::PaymentEvent;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::proxy::{Action, Handle, Proxy, Rule};

/// Starts all work in this order. Each piece runs until it first waits: a job that has to queue is in its queue on return.
pub(crate) fn in_order<F>(work: impl IntoIterator<Item = F>) -> Vec<JoinHandle<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let start = |work: F| {
        let mut work = Box::pin(work);
        let done = work.as_mut().now_or_never();
        tokio::spawn(async move {
            match done {
                Some(done) => done,
                None => work.await,
            }
        })
    };
    work.into_iter().map(start).collect()
}

/// Waits for all tasks and returns their results.
pub(crate) async fn all<T>(crowd: Vec<JoinHandle<T>>) -> Vec<T> {
    futures_util::future::join_all(crowd).await.into_iter().map(|joined| joined.expect("no panic")).collect()
}

/// How many batches of orders, of payments or of carts run at the same time when all are overdue. Where fewer run, the jobs behind
/// them start as soon as one is overdue, which on a slow machine is before a test has prepared what it needs.
pub(crate) const SLOTS: usize = 6;

/// A lane that is held up: its batches wait before their COMMIT.
pub(crate) struct Jam<T> {
    commits: Handle,
    under_way: Vec<JoinHandle<T>>,
}

/// Holds up a lane with this work, as many pieces as it runs at the same time (`SLOTS` where batches may become overdue); each
/// piece is a batch of its own.
pub(crate) async fn held_up<F>(proxy: &Proxy, work: impl IntoIterator<Item = F>) -> Jam<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let work: Vec<F> = work.into_iter().collect();
    let commits = proxy.on(Rule::exactly("COMMIT").times(work.len()), Action::PauseBefore);
    let mut under_way = Vec::new();
    for (place, work) in work.into_iter().enumerate() {
        under_way.push(tokio::spawn(work));
        commits.reached_by(place + 1).await;
    }
    Jam { commits, under_way }
}

impl<T> Jam<T> {
    /// Lets the lane go on; returns the results of the work that held it up.
    pub(crate) async fn release(self) -> Vec<T> {
        drop(self.commits);
        all(self.under_way).await
    }
}

/// A key for a request whose body is represented by a number.
pub(crate) fn keyed(operation: Operation, key: impl Into<String>, body: u8) -> IdempotentRequest {
    IdempotentRequest::new("anonymous".to_owned(), operation, key.into(), [body; 32])
}

/// A request that takes a hold.
pub(crate) fn hold(
    app: &Arc<App>,
    product_id: i64,
    qty: i64,
    key: Option<IdempotentRequest>,
) -> impl Future<Output = Result<Taken, Error>> + Send + use<> {
    let app = Arc::clone(app);
    async move { app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, qty, key)).await }
}

/// A request that orders a hold.
pub(crate) fn order(
    app: &Arc<App>,
    hold_id: Uuid,
    order_id: Option<Uuid>,
    key: Option<IdempotentRequest>,
) -> impl Future<Output = Result<Placed, Error>> + Send + use<> {
    let app = Arc::clone(app);
    async move { app.checkout.create_order(holdfast::checkout::NewOrder::new(hold_id, order_id, key)).await }
}

/// A delivery of a payment event.
pub(crate) fn deliver(
    app: &Arc<App>,
    event: PaymentEvent,
) -> impl Future<Output = Result<Receipt, Error>> + Send + use<> {
    let app = Arc::clone(app);
    async move { app.checkout.receive_event(event).await }
}

/// Takes that many holds of one unit each.
pub(crate) async fn holds(app: &Arc<App>, product_id: i64, count: usize) -> Vec<Uuid> {
    let held = all(in_order((0..count).map(|_| hold(app, product_id, 1, None)))).await;
    held.into_iter().map(|taken| taken.expect("enough units").hold.id).collect()
}

/// Makes that many orders of one unit each.
pub(crate) async fn orders(app: &Arc<App>, product_id: i64, count: usize) -> Vec<Uuid> {
    let held = holds(app, product_id, count).await;
    let placed = all(in_order(held.into_iter().map(|hold_id| order(app, hold_id, None, None)))).await;
    placed.into_iter().map(|placed| placed.expect("an active hold").order.id).collect()
}

/// Counts the statements of this name that were sent to the database.
pub(crate) fn sent(proxy: &Proxy, name: &str) -> usize {
    let name = format!("-- {name}:");
    proxy.statements().iter().filter(|statement| statement.contains(&name)).count()
}
