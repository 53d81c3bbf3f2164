use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::*;

/// Work that reports each batch it receives and then waits until the test releases it.
struct Watched {
    started: mpsc::UnboundedSender<Vec<i64>>,
    gate: Arc<Semaphore>,
    again_once: AtomicUsize,
}

#[derive(Debug)]
struct Job {
    number: i64,
    answer: oneshot::Sender<usize>,
}

impl Work for Watched {
    type Key = i64;
    type Job = Job;

    async fn run(&self, _key: i64, mut jobs: Vec<Job>, supply: Option<i64>) -> Done<Job> {
        self.started.send(jobs.iter().map(|job| job.number).collect()).expect("the test receives");
        if jobs.iter().any(|job| job.number == STUCK) {
            std::future::pending::<()>().await;
        }
        assert!(jobs.iter().all(|job| job.number != PANICKING), "the test asks for a panic");
        self.gate.acquire().await.expect("the gate stays").forget();
        let size = jobs.len();
        let again = match self.again_once.swap(0, Ordering::Relaxed) {
            0 => Vec::new(),
            count => jobs.split_off(size - count),
        };
        for job in jobs {
            let _ = job.answer.send(size);
        }
        Done { again, ..Done::all(supply.or(Some(10))) }
    }

    fn bytes(&self, job: &Job) -> usize {
        if job.number == LARGE { 60 } else { 30 }
    }

    fn weight(&self, job: &Job) -> i64 {
        job.number.abs()
    }

    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool {
        supply.is_some_and(|supply| supply >= weight)
    }
}

/// The number of a job of which two do not fit into one packet.
const LARGE: i64 = 0;
/// The number of a job whose batch never returns.
const STUCK: i64 = -1;
/// The number of a job whose batch panics.
const PANICKING: i64 = -7;

const LIMITS: Limits = Limits {
    queue: 4,
    batch: 3,
    bytes: 100,
    in_flight: 2,
    late: 0,
    alone: 2,
    gather: Duration::from_secs(3600),
    linger: Duration::from_millis(1),
};

struct Bench {
    lanes: Lanes<Watched>,
    started: mpsc::UnboundedReceiver<Vec<i64>>,
    gate: Arc<Semaphore>,
}

impl Bench {
    fn new(limits: Limits, again: usize) -> Self {
        let (tell, started) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let work = Watched { started: tell, gate: Arc::clone(&gate), again_once: AtomicUsize::new(again) };
        Self { lanes: Lanes::new(work, limits), started, gate }
    }

    fn submit(&self, key: i64, number: i64) -> Result<oneshot::Receiver<usize>, Full<Job>> {
        let (answer, answered) = oneshot::channel();
        self.lanes.submit(key, Job { number, answer }).map(|()| answered)
    }

    /// Leaves one batch of `size` jobs running, after an earlier batch reported enough supply for another one.
    async fn warm_up_with(&mut self, size: usize) {
        let _before = self.submit(1, 1).expect("there is room");
        assert_eq!(self.next_batch().await.len(), 1);
        for _ in 0..size {
            drop(self.submit(1, 1).expect("there is room"));
        }
        self.gate.add_permits(1);
        assert_eq!(self.next_batch().await.len(), size);
    }

    async fn next_batch(&mut self) -> Vec<i64> {
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
    assert_eq!(first.await, Ok(1));
    assert_eq!(bench.next_batch().await, [1, 2, 3], "in order of arrival");
    bench.gate.add_permits(1);
    for answered in later {
        assert_eq!(answered.await, Ok(3));
    }
}

#[tokio::test]
async fn a_second_batch_starts_only_when_the_supply_suffices_for_both() {
    let mut bench = Bench::new(LIMITS, 0);
    let warm = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    bench.gate.add_permits(1);
    warm.await.expect("answered");

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
        answered.await.expect("answered");
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
    answered.await.expect("answered");
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
        answered.await.expect("every job is answered once");
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
            Err(Full(job)) => break job,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.number, 100);
    assert!(accepted.len() <= 1 + LIMITS.batch + LIMITS.queue, "{} jobs wait", accepted.len());
    bench.submit(2, 7).expect("another lane has room");
    assert_eq!(bench.next_batch().await, [7]);
    bench.gate.add_permits(100);
    for answered in accepted {
        answered.await.expect("every accepted job is answered");
    }
}

#[tokio::test]
async fn an_idle_lane_is_removed_and_created_again_when_needed() {
    let mut bench = Bench::new(LIMITS, 0);
    bench.gate.add_permits(1000);
    for key in 0..100 {
        bench.submit(key, key).expect("there is room").await.expect("answered");
    }
    while bench.lanes.count() > 0 {
        tokio::time::sleep(LIMITS.linger).await;
    }
    bench.submit(1, 5).expect("there is room").await.expect("answered");
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
        answered.try_recv().expect("answered before it finished");
    }
}

/// Work that panics on a job with its flag set.
struct Fragile;

impl Work for Fragile {
    type Key = ();
    type Job = (bool, oneshot::Sender<()>);

    async fn run(&self, _key: (), jobs: Vec<Self::Job>, _supply: Option<i64>) -> Done<Self::Job> {
        for (panics, answer) in jobs {
            assert!(!panics, "the test asks for a panic");
            let _ = answer.send(());
        }
        Done::all(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        false
    }
}

#[tokio::test]
async fn a_batch_that_panics_closes_the_channels_of_its_jobs_and_the_lane_continues() {
    let lanes = Lanes::new(Fragile, LIMITS);
    let ask = |panics| {
        let (answer, answered) = oneshot::channel();
        lanes.submit((), (panics, answer)).expect("there is room");
        answered
    };
    assert!(ask(true).await.is_err(), "the channel of the job is closed");
    ask(false).await.expect("the next job is answered");
}

#[tokio::test]
async fn a_batch_that_panics_leaves_no_weight_behind_while_another_one_runs() {
    let mut bench = Bench::new(Limits { in_flight: 3, ..LIMITS }, 0);
    bench.warm_up_with(1).await;
    let first = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    let panicking = bench.submit(1, PANICKING).expect("there is room");
    assert_eq!(bench.next_batch().await, [PANICKING], "ten units suffice for all three");
    panicking.await.expect_err("its batch panicked");
    // one of the two others returns and reports ten units: enough for the running one and eight units more
    bench.gate.add_permits(1);
    let _next = bench.submit(1, 8).expect("there is room");
    assert_eq!(bench.next_batch().await, [8], "the batch that panicked takes no supply any more");
    bench.gate.add_permits(10);
    first.await.expect("answered");
}

#[tokio::test]
async fn a_limited_number_of_overdue_batches_give_up_their_slots() {
    let mut bench = Bench::new(Limits { late: 2, gather: Duration::ZERO, ..LIMITS }, 0);
    let warm = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    bench.gate.add_permits(1);
    warm.await.expect("answered");
    // two slots, and two batches that have given up theirs
    for _ in 0..4 {
        let _stuck = bench.submit(1, STUCK).expect("there is room");
        assert_eq!(bench.next_batch().await, [STUCK]);
    }
    let mut waiting = Vec::new();
    while let Ok(answered) = bench.submit(1, 1) {
        waiting.push(answered);
        tokio::task::yield_now().await;
    }
    assert!(bench.started.try_recv().is_err(), "no further batch gives up its slot, so the queue is full");
}

/// Work that hands back odd jobs to run alone; they wait until the test releases them.
struct Picky {
    gate: Arc<Semaphore>,
    alone: Arc<AtomicUsize>,
}

impl Work for Picky {
    type Key = ();
    type Job = (i64, oneshot::Sender<&'static str>);

    async fn run(&self, _key: (), jobs: Vec<Self::Job>, _supply: Option<i64>) -> Done<Self::Job> {
        let (alone, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(number, _)| number % 2 == 1);
        for (_, answer) in jobs {
            let _ = answer.send("together");
        }
        Done { alone, ..Done::all(None) }
    }

    async fn run_alone(&self, _key: (), (_, answer): Self::Job) {
        self.alone.fetch_add(1, Ordering::Relaxed);
        self.gate.acquire().await.expect("the gate stays").forget();
        let _ = answer.send("alone");
    }

    fn turn_away(&self, (_, answer): Self::Job) {
        let _ = answer.send("turned away");
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        false
    }
}

#[tokio::test]
async fn single_jobs_use_no_batch_slot() {
    let (gate, alone) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let lanes = Lanes::new(Picky { gate: Arc::clone(&gate), alone: Arc::clone(&alone) }, LIMITS);
    let ask = |number| {
        let (answer, answered) = oneshot::channel();
        lanes.submit((), (number, answer)).expect("there is room");
        answered
    };
    let mut odd = Vec::new();
    for number in 0..10 {
        odd.push(ask(2 * number + 1));
        assert_eq!(ask(2 * number).await, Ok("together"), "even jobs do not wait for odd ones");
    }
    assert_eq!(alone.load(Ordering::Relaxed), LIMITS.alone, "single jobs run a few at a time");
    gate.add_permits(10);
    let mut told = Vec::new();
    for answered in odd {
        told.push(answered.await.expect("every job is answered"));
    }
    let turned_away = 10 - LIMITS.alone - LIMITS.queue;
    assert_eq!(told.iter().filter(|&&word| word == "turned away").count(), turned_away, "{told:?}");
    assert_eq!(told.iter().filter(|&&word| word == "alone").count(), LIMITS.alone + LIMITS.queue);
    while lanes.count() > 0 {
        tokio::time::sleep(LIMITS.linger).await;
    }
}
