//! Measures one figure of a closed loop, with the database server's counters.

use tokio::time::{Instant, sleep};

use crate::Plan;
use crate::database::{Counters, Ground};
pub(crate) use crate::support::measure::{Buyer, Crowd, Load, Same};

/// Lets a crowd warm up, then measures it. Returns its load and the server's counters for the same window.
pub(crate) async fn cell<B: Buyer>(
    ground: &Ground,
    plan: &Plan,
    buyers: impl IntoIterator<Item = B>,
) -> (Load, Counters) {
    let crowd = Crowd::start(buyers);
    sleep(plan.warm_up).await;
    let (before, from) = (ground.counters().await, Instant::now());
    sleep(plan.duration).await;
    let (after, to) = (ground.counters().await, Instant::now());
    (crowd.stop().await.window(from, to), after.since(&before, to - from))
}
