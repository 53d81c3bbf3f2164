//! Jobs that arrive while a batch runs share the next one, within the limits of their lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::job::Answered;
use super::*;

/// Work that reports each batch it receives and then waits until the test releases it.
struct Watched {
    started: mpsc::UnboundedSender<Vec<i64>>,
    gate: Arc<Semaphore>,
    again_once: AtomicUsize,
}

impl Work for Watched {
    type Key = i64;
    type Request = i64;
    type Response = usize;

    async fn attempt(
        &self,
        _key: i64,
        mut jobs: Vec<JobOf<Self>>,
        _turn: Turn,
        supply: Option<i64>,
    ) -> Attempt<JobOf<Self>> {
        self.started.send(jobs.iter().map(|job| job.request).collect()).expect("the test receives");
        if jobs.iter().any(|job| job.request == STUCK) {
            std::future::pending::<()>().await;
        }
        assert!(jobs.iter().all(|job| job.request != PANICKING), "the test asks for a panic");
        self.gate.acquire().await.expect("the gate stays").forget();
        let size = jobs.len();
        let again = match self.again_once.swap(0, Ordering::Relaxed) {
            0 => Vec::new(),
            count => jobs.split_off(size - count),
        };
        for job in jobs {
            job.answer(size);
        }
        Attempt { again, ..Attempt::done(supply.or(Some(10))) }
    }

    fn bytes(&self, number: &i64) -> usize {
        if *number == LARGE { 60 } else { 30 }
    }

    fn weight(&self, number: &i64) -> i64 {
        number.abs()
    }

    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool {
        supply.is_some_and(|supply| supply >= weight)
    }
}

/// The number of a job of which two do not fit into one packet.
pub(super) const LARGE: i64 = 0;
/// The number of a job whose batch never returns.
pub(super) const STUCK: i64 = -1;
/// The number of a job whose batch panics.
pub(super) const PANICKING: i64 = -7;

pub(super) const LIMITS: Limits = Limits {
    queue: 4,
    batch: 3,
    bytes: 100,
    in_flight: 2,
    late: 0,
    alone: 2,
    gather: Duration::from_secs(3600),
    linger: Duration::from_millis(1),
};

pub(super) struct Bench {
    lanes: Lanes<Watched>,
    pub(super) started: mpsc::UnboundedReceiver<Vec<i64>>,
    pub(super) gate: Arc<Semaphore>,
    /// Clients that wait until the end of the test.
    pub(super) waiting: Vec<Answered<usize>>,
}

/// Queues a request whose client waits for a minute.
pub(super) fn submit<W: Work>(
    lanes: &Lanes<W>,
    key: W::Key,
    request: W::Request,
) -> Result<Answered<W::Response>, Unanswered> {
    let (job, answered) = Job::new(request, Instant::now() + Duration::from_secs(60));
    lanes.submit(key, job).map(|()| answered)
}

pub(super) async fn response<T>(answered: Answered<T>) -> T {
    answered.await.expect("answered").expect("a response")
}

impl Bench {
    pub(super) fn new(limits: Limits, again: usize) -> Self {
        let (tell, started) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let work = Watched { started: tell, gate: Arc::clone(&gate), again_once: AtomicUsize::new(again) };
        Self { lanes: Lanes::new("test", work, limits), started, gate, waiting: Vec::new() }
    }

    pub(super) fn submit(&self, key: i64, number: i64) -> Result<Answered<usize>, Unanswered> {
        submit(&self.lanes, key, number)
    }

    /// Leaves one batch of `size` jobs running, after an earlier batch reported enough supply for another one.
    pub(super) async fn warm_up_with(&mut self, size: usize) {
        let _before = self.submit(1, 1).expect("there is room");
        assert_eq!(self.next_batch().await.len(), 1);
        for _ in 0..size {
            self.waiting.push(self.submit(1, 1).expect("there is room"));
        }
        self.gate.add_permits(1);
        assert_eq!(self.next_batch().await.len(), size);
    }

    pub(super) async fn next_batch(&mut self) -> Vec<i64> {
        self.started.recv().await.expect("a batch starts")
    }
}

#[tokio::test]
async fn jobs_that_arrive_while_a_batch_runs_share_the_next_one() {
    let mut bench = Bench::new(LIMITS, 0);
    let first = bench.submit(1, 100).expect("there is room");
    assert_eq!(bench.next_batch().await, [100], "a job that finds no batch running starts at once");
    let later: Vec<_> = (1..=3).map(|number| bench.submit(1, number).expect("there is room")).collect();
    bench.gate.add_permits(1);
    assert_eq!(first.await, Ok(Ok(1)));
    assert_eq!(bench.next_batch().await, [1, 2, 3], "in order of arrival");
    bench.gate.add_permits(1);
    for answered in later {
        assert_eq!(answered.await, Ok(Ok(3)));
    }
}

#[tokio::test]
async fn a_second_batch_starts_only_when_the_supply_suffices_for_both() {
    let mut bench = Bench::new(LIMITS, 0);
    let warm = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    bench.gate.add_permits(1);
    response(warm).await;

    let _first = bench.submit(1, 4).expect("there is room");
    assert_eq!(bench.next_batch().await, [4]);
    let _second = bench.submit(1, 6).expect("there is room");
    assert_eq!(bench.next_batch().await, [6], "ten units suffice for both");
    bench.gate.add_permits(2);

    let _third = bench.submit(1, 5).expect("there is room");
    assert_eq!(bench.next_batch().await, [5]);
    let _fourth = bench.submit(1, 6).expect("there is room");
    tokio::task::yield_now().await;
    assert!(bench.started.try_recv().is_err(), "ten units do not suffice for both");
    bench.gate.add_permits(1);
    assert_eq!(bench.next_batch().await, [6]);
    bench.gate.add_permits(1);
}

#[tokio::test]
async fn a_second_batch_is_as_large_as_the_first_one_or_full() {
    for (first, enough) in [(2, 2), (1, 1)] {
        let mut bench = Bench::new(LIMITS, 0);
        bench.warm_up_with(first).await;
        let mut accepted: Vec<_> = (1..enough).map(|_| bench.submit(1, 1).expect("there is room")).collect();
        tokio::task::yield_now().await;
        assert!(bench.started.try_recv().is_err(), "fewer than {first} jobs gather");
        accepted.push(bench.submit(1, 1).expect("there is room"));
        assert_eq!(bench.next_batch().await.len(), enough);
        bench.gate.add_permits(10);
    }
    // a second large job does not fit into the packet, so the lane does not wait for a third one
    let mut bench = Bench::new(LIMITS, 0);
    bench.warm_up_with(3).await;
    let _accepted = [LARGE; 2].map(|number| bench.submit(1, number).expect("there is room"));
    assert_eq!(bench.next_batch().await, [LARGE]);
    bench.gate.add_permits(10);
}

#[tokio::test]
async fn jobs_do_not_gather_behind_a_batch_that_was_overtaken() {
    let mut bench = Bench::new(LIMITS, 0);
    let _before = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    let _stuck = [STUCK, 1].map(|number| bench.submit(1, number).expect("there is room"));
    bench.gate.add_permits(1);
    assert_eq!(bench.next_batch().await, [STUCK, 1]);
    let younger = [1, 1].map(|number| bench.submit(1, number).expect("there is room"));
    assert_eq!(bench.next_batch().await, [1, 1]);
    bench.gate.add_permits(1);
    for answered in younger {
        response(answered).await;
    }
    let _alone = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    bench.gate.add_permits(10);
}

#[tokio::test]
async fn jobs_gather_only_for_a_while_behind_a_batch_that_does_not_return() {
    let mut bench = Bench::new(Limits { gather: Duration::from_millis(1), ..LIMITS }, 0);
    bench.warm_up_with(3).await;
    let answered = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1], "after a while a batch of one job starts");
    bench.gate.add_permits(10);
    response(answered).await;
}

#[tokio::test]
async fn jobs_to_be_run_again_come_first_and_in_order() {
    let mut bench = Bench::new(Limits { in_flight: 1, ..LIMITS }, 0);
    let _first = bench.submit(1, 100).expect("there is room");
    assert_eq!(bench.next_batch().await, [100]);
    let waiting: Vec<_> = (1..=4).map(|number| bench.submit(1, number).expect("there is room")).collect();
    bench.gate.add_permits(1);
    assert_eq!(bench.next_batch().await, [1, 2, 3]);
    bench.lanes.shared.work.again_once.store(2, Ordering::Relaxed);
    bench.gate.add_permits(1);
    assert_eq!(bench.next_batch().await, [2, 3, 4]);
    bench.gate.add_permits(1);
    for answered in waiting {
        response(answered).await;
    }
}

#[tokio::test]
async fn a_batch_is_as_large_as_its_packet_allows() {
    for (bytes, expected) in [(90, 3), (89, 2), (60, 2), (10, 1)] {
        let mut bench = Bench::new(Limits { in_flight: 1, bytes, ..LIMITS }, 0);
        let _first = bench.submit(1, 100).expect("there is room");
        assert_eq!(bench.next_batch().await, [100]);
        let _waiting: Vec<_> = (1..=3).map(|number| bench.submit(1, number).expect("there is room")).collect();
        bench.gate.add_permits(1);
        assert_eq!(bench.next_batch().await.len(), expected, "{bytes} bytes");
        bench.gate.add_permits(3);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_other_lanes_still_accept_jobs() {
    let mut bench = Bench::new(LIMITS, 0);
    let mut accepted = vec![bench.submit(1, 100).expect("there is room")];
    assert_eq!(bench.next_batch().await, [100]);
    let refused = loop {
        match bench.submit(1, 100) {
            Ok(answered) => accepted.push(answered),
            Err(refused) => break refused,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused, Unanswered::Full);
    assert!(accepted.len() <= 1 + LIMITS.batch + LIMITS.queue, "{} jobs wait", accepted.len());
    let _other = bench.submit(2, 7).expect("another lane has room");
    assert_eq!(bench.next_batch().await, [7]);
    bench.gate.add_permits(100);
    for answered in accepted {
        response(answered).await;
    }
}

#[tokio::test]
async fn an_idle_lane_is_removed_and_created_again_when_needed() {
    let mut bench = Bench::new(LIMITS, 0);
    bench.gate.add_permits(1000);
    for key in 0..100 {
        response(bench.submit(key, key).expect("there is room")).await;
    }
    while bench.lanes.count() > 0 {
        tokio::time::sleep(LIMITS.linger).await;
    }
    response(bench.submit(1, 5).expect("there is room")).await;
    while bench.started.try_recv().is_ok() {}
}

#[tokio::test]
async fn finishing_answers_every_accepted_job() {
    let bench = Bench::new(LIMITS, 0);
    let waiting: Vec<_> = (1..=4).map(|number| bench.submit(1, number).expect("there is room")).collect();
    bench.gate.add_permits(100);
    bench.lanes.finish().await;
    assert_eq!(bench.lanes.count(), 0);
    for mut answered in waiting {
        answered.try_recv().expect("answered before it finished").expect("a response");
    }
}

#[tokio::test]
async fn the_depth_of_a_queue_counts_the_jobs_that_are_in_no_batch() {
    let bench = Bench::new(LIMITS, 0);
    let depth = || bench.lanes.depth();
    assert_eq!(depth(), 0);
    let _running = bench.submit(1, STUCK).expect("there is room");
    while depth() > 0 {
        tokio::task::yield_now().await;
    }
    let _waiting: Vec<_> = (1..=3).map(|number| bench.submit(1, number).expect("there is room")).collect();
    let _other = bench.submit(2, 1).expect("there is room");
    while depth() != 3 {
        tokio::task::yield_now().await;
    }
}
