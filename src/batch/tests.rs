use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::*;

/// Work that tells which batch it got, and then waits until the test lets it go on.
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
        self.started.send(jobs.iter().map(|job| job.number).collect()).expect("the test listens");
        if jobs.iter().any(|job| job.number == STUCK) {
            std::future::pending::<()>().await;
        }
        assert!(jobs.iter().all(|job| job.number != PANICKING), "as the test wants");
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

/// The number of a job that fills a packet with one like it.
const LARGE: i64 = 0;
/// The number of a job whose batch never comes back.
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

    /// One batch of that size is under way, and the lane believes that there is supply for another one.
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
async fn what_arrives_while_a_batch_is_under_way_travels_together_in_the_next_one() {
    let mut bench = Bench::new(LIMITS, 0);
    let first = bench.submit(1, 100).expect("there is room");
    assert_eq!(bench.next_batch().await, [100], "a lone job does not wait for company");
    let later: Vec<_> = (1..=3).map(|number| bench.submit(1, number).expect("there is room")).collect();
    bench.gate.add_permits(1);
    assert_eq!(first.await, Ok(1));
    assert_eq!(bench.next_batch().await, [1, 2, 3], "in the order of their arrival");
    bench.gate.add_permits(1);
    for answered in later {
        assert_eq!(answered.await, Ok(3));
    }
}

#[tokio::test]
async fn a_second_batch_leaves_only_when_supply_suffices_for_both() {
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
        assert!(bench.started.try_recv().is_err(), "fewer than {first} gather");
        accepted.push(bench.submit(1, 1).expect("there is room"));
        assert_eq!(bench.next_batch().await.len(), enough);
        bench.gate.add_permits(10);
    }
    // a second large one does not fit into the packet, so that a third one is not waited for
    let mut bench = Bench::new(LIMITS, 0);
    bench.warm_up_with(3).await;
    let _accepted = [LARGE; 2].map(|number| bench.submit(1, number).expect("there is room"));
    assert_eq!(bench.next_batch().await, [LARGE]);
    bench.gate.add_permits(10);
}

#[tokio::test]
async fn nobody_gathers_behind_a_batch_that_was_overtaken() {
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
async fn nobody_gathers_for_long_behind_a_batch_that_does_not_come_back() {
    let mut bench = Bench::new(Limits { gather: Duration::from_millis(1), ..LIMITS }, 0);
    bench.warm_up_with(3).await;
    let answered = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1], "after a while it leaves alone");
    bench.gate.add_permits(10);
    answered.await.expect("answered");
}

#[tokio::test]
async fn jobs_to_be_done_again_come_first_and_in_order() {
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
        answered.await.expect("everybody is answered once");
    }
}

#[tokio::test]
async fn a_batch_is_as_large_as_a_packet_may_be() {
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
async fn a_full_queue_says_so_at_once_and_other_lanes_do_not_notice() {
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
        answered.await.expect("whoever was accepted is answered");
    }
}

#[tokio::test]
async fn a_lane_goes_away_when_idle_and_comes_back_when_needed() {
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
async fn finishing_answers_what_was_accepted() {
    let bench = Bench::new(LIMITS, 0);
    let waiting: Vec<_> = (1..=4).map(|number| bench.submit(1, number).expect("there is room")).collect();
    bench.gate.add_permits(100);
    bench.lanes.finish().await;
    assert_eq!(bench.lanes.count(), 0);
    for mut answered in waiting {
        answered.try_recv().expect("answered before it finished");
    }
}

/// Work that panics for one job.
struct Fragile;

impl Work for Fragile {
    type Key = ();
    type Job = (bool, oneshot::Sender<()>);

    async fn run(&self, _key: (), jobs: Vec<Self::Job>, _supply: Option<i64>) -> Done<Self::Job> {
        for (panics, answer) in jobs {
            assert!(!panics, "as the test wants");
            let _ = answer.send(());
        }
        Done::all(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        false
    }
}

#[tokio::test]
async fn a_batch_that_panics_tells_its_askers_and_the_lane_goes_on() {
    let lanes = Lanes::new(Fragile, LIMITS);
    let ask = |panics| {
        let (answer, answered) = oneshot::channel();
        lanes.submit((), (panics, answer)).expect("there is room");
        answered
    };
    assert!(ask(true).await.is_err(), "whoever asked is told by a closed channel");
    ask(false).await.expect("the next one is answered");
}

#[tokio::test]
async fn a_batch_that_panics_leaves_no_weight_behind_while_another_is_under_way() {
    let mut bench = Bench::new(Limits { in_flight: 3, ..LIMITS }, 0);
    bench.warm_up_with(1).await;
    let first = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    let panicking = bench.submit(1, PANICKING).expect("there is room");
    assert_eq!(bench.next_batch().await, [PANICKING], "ten units suffice for all three");
    panicking.await.expect_err("its batch panicked");
    // one of the two others comes back and reports ten units: eight of them suffice for the next one
    bench.gate.add_permits(1);
    let _next = bench.submit(1, 8).expect("there is room");
    assert_eq!(bench.next_batch().await, [8], "what panicked takes nothing any more");
    bench.gate.add_permits(10);
    first.await.expect("answered");
}

#[tokio::test]
async fn a_batch_that_is_late_gives_up_its_place_and_a_bounded_number_do() {
    let mut bench = Bench::new(Limits { late: 2, gather: Duration::ZERO, ..LIMITS }, 0);
    let warm = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    bench.gate.add_permits(1);
    warm.await.expect("answered");
    // two places, and two batches that have given up theirs
    for _ in 0..4 {
        let _stuck = bench.submit(1, STUCK).expect("there is room");
        assert_eq!(bench.next_batch().await, [STUCK]);
    }
    let mut waiting = Vec::new();
    while let Ok(answered) = bench.submit(1, 1) {
        waiting.push(answered);
        tokio::task::yield_now().await;
    }
    assert!(bench.started.try_recv().is_err(), "no further one gives up its place, so that the queue is full");
}

/// Work that leaves odd ones alone, who wait until the test lets them go on.
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
async fn whoever_is_done_alone_takes_nobodys_place() {
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
        assert_eq!(ask(2 * number).await, Ok("together"), "the others do not wait");
    }
    assert_eq!(alone.load(Ordering::Relaxed), LIMITS.alone, "a few at a time");
    gate.add_permits(10);
    let mut told = Vec::new();
    for answered in odd {
        told.push(answered.await.expect("everybody is answered"));
    }
    let turned_away = 10 - LIMITS.alone - LIMITS.queue;
    assert_eq!(told.iter().filter(|&&word| word == "turned away").count(), turned_away, "{told:?}");
    assert_eq!(told.iter().filter(|&&word| word == "alone").count(), LIMITS.alone + LIMITS.queue);
    while lanes.count() > 0 {
        tokio::time::sleep(LIMITS.linger).await;
    }
}
