use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
    /// Clients that wait until the end of the test.
    waiting: Vec<Answered<usize>>,
}

/// Queues a request whose client waits for a minute.
fn submit<W: Work>(lanes: &Lanes<W>, key: W::Key, request: W::Request) -> Result<Answered<W::Response>, Unanswered> {
    let (job, answered) = Job::new(request, Instant::now() + Duration::from_secs(60));
    lanes.submit(key, job).map(|()| answered)
}

async fn response<T>(answered: Answered<T>) -> T {
    answered.await.expect("answered").expect("a response")
}

impl Bench {
    fn new(limits: Limits, again: usize) -> Self {
        let (tell, started) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let work = Watched { started: tell, gate: Arc::clone(&gate), again_once: AtomicUsize::new(again) };
        Self { lanes: Lanes::new(work, limits), started, gate, waiting: Vec::new() }
    }

    fn submit(&self, key: i64, number: i64) -> Result<Answered<usize>, Unanswered> {
        submit(&self.lanes, key, number)
    }

    /// Leaves one batch of `size` jobs running, after an earlier batch reported enough supply for another one.
    async fn warm_up_with(&mut self, size: usize) {
        let _before = self.submit(1, 1).expect("there is room");
        assert_eq!(self.next_batch().await.len(), 1);
        for _ in 0..size {
            self.waiting.push(self.submit(1, 1).expect("there is room"));
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

/// Work that panics on a job with its flag set.
struct Fragile;

impl Work for Fragile {
    type Key = ();
    type Request = bool;
    type Response = ();

    async fn attempt(&self, (): (), jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        for job in jobs {
            assert!(!job.request, "the test asks for a panic");
            job.answer(());
        }
        Attempt::done(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        false
    }
}

#[tokio::test]
async fn a_batch_that_panics_tells_its_clients_and_the_lane_continues() {
    let lanes = Lanes::new(Fragile, LIMITS);
    let deadline = Instant::now() + Duration::from_secs(60);
    assert_eq!(lanes.ask((), true, deadline).await, Err(Unanswered::Dropped));
    assert_eq!(lanes.ask((), false, deadline).await, Ok(()), "the next job is answered");
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
    response(first).await;
}

#[tokio::test]
async fn a_limited_number_of_overdue_batches_give_up_their_slots() {
    let mut bench = Bench::new(Limits { late: 2, gather: Duration::ZERO, ..LIMITS }, 0);
    let warm = bench.submit(1, 1).expect("there is room");
    assert_eq!(bench.next_batch().await, [1]);
    bench.gate.add_permits(1);
    response(warm).await;
    // two slots, and two batches that have given up theirs
    for _ in 0..4 {
        let stuck = bench.submit(1, STUCK).expect("there is room");
        assert_eq!(bench.next_batch().await, [STUCK]);
        bench.waiting.push(stuck);
    }
    let mut waiting = Vec::new();
    while let Ok(answered) = bench.submit(1, 1) {
        waiting.push(answered);
        tokio::task::yield_now().await;
    }
    assert!(bench.started.try_recv().is_err(), "no further batch gives up its slot, so the queue is full");
}

/// Attempts, each with its jobs.
type Attempts = Arc<Mutex<Vec<(Turn, Vec<&'static str>)>>>;

/// Work that spoils some batches; single jobs wait until the test releases them.
struct Spoiled {
    attempts: Attempts,
    gate: Arc<Semaphore>,
}

impl Work for Spoiled {
    type Key = ();
    /// How its batch is spoiled: "first", "both", "single" (never in a batch), "always", or "never".
    type Request = &'static str;
    type Response = Turn;

    async fn attempt(&self, (): (), jobs: Vec<JobOf<Self>>, turn: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let requests: Vec<_> = jobs.iter().map(|job| job.request).collect();
        self.attempts.lock().expect("no panic").push((turn, requests.clone()));
        if turn == Turn::Alone {
            self.gate.acquire().await.expect("the gate stays").forget();
        }
        let spoils = |request: &&str| match *request {
            "first" => turn == Turn::First,
            "both" => turn != Turn::Alone,
            "always" => true,
            _ => false,
        };
        if requests.iter().any(spoils) {
            return Attempt { spoiled: jobs, ..Attempt::done(None) };
        }
        let (alone, together): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.request == "single" && turn != Turn::Alone);
        together.into_iter().for_each(|job| job.answer(turn));
        Attempt { alone, ..Attempt::done(None) }
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        false
    }
}

impl Spoiled {
    fn lanes(limits: Limits) -> (Lanes<Self>, Attempts, Arc<Semaphore>) {
        let (attempts, gate) = (Attempts::default(), Arc::new(Semaphore::new(0)));
        let work = Self { attempts: Arc::clone(&attempts), gate: Arc::clone(&gate) };
        (Lanes::new(work, limits), attempts, gate)
    }
}

#[tokio::test]
async fn a_spoiled_batch_is_tried_once_more_and_then_one_by_one() {
    for (how, turns) in [
        ("never", vec![Turn::First]),
        ("first", vec![Turn::First, Turn::Second]),
        ("both", vec![Turn::First, Turn::Second, Turn::Alone, Turn::Alone]),
    ] {
        let (lanes, attempts, gate) = Spoiled::lanes(LIMITS);
        gate.add_permits(10);
        let asked = [how, "never"].map(|how| submit(&lanes, (), how).expect("there is room"));
        for answered in asked {
            assert_eq!(answered.await, Ok(Ok(*turns.last().expect("a turn"))), "{how}");
        }
        let attempts = attempts.lock().expect("no panic");
        assert_eq!(attempts.iter().map(|(turn, _)| *turn).collect::<Vec<_>>(), turns, "{how}");
        assert!(attempts.iter().all(|(turn, jobs)| (*turn == Turn::Alone) == (jobs.len() == 1)), "{attempts:?}");
    }
}

#[tokio::test]
async fn a_job_that_every_attempt_spoils_is_answered_in_the_end() {
    let (lanes, attempts, gate) = Spoiled::lanes(LIMITS);
    gate.add_permits(10);
    let deadline = Instant::now() + Duration::from_secs(60);
    assert_eq!(lanes.ask((), "always", deadline).await, Err(Unanswered::Contended(3)));
    assert_eq!(attempts.lock().expect("no panic").len(), 2 + 3);
}

#[tokio::test]
async fn a_job_past_its_deadline_is_not_tried_and_a_job_of_a_disconnected_client_is_dropped() {
    let (lanes, attempts, gate) = Spoiled::lanes(LIMITS);
    gate.add_permits(10);
    let (late, answered) = Job::new("late", Instant::now());
    lanes.submit((), late).expect("there is room");
    drop(submit(&lanes, (), "disconnected").expect("there is room"));
    assert_eq!(answered.await, Ok(Err(Unanswered::Late)));
    assert_eq!(submit(&lanes, (), "never").expect("there is room").await, Ok(Ok(Turn::First)));
    assert_eq!(*attempts.lock().expect("no panic"), [(Turn::First, vec!["never"])]);
}

#[tokio::test]
async fn single_jobs_use_no_batch_slot() {
    let (lanes, attempts, gate) = Spoiled::lanes(LIMITS);
    let mut single = Vec::new();
    for _ in 0..10 {
        single.push(submit(&lanes, (), "single").expect("there is room"));
        let other = submit(&lanes, (), "never").expect("there is room");
        assert_eq!(other.await, Ok(Ok(Turn::First)), "batches do not wait for single jobs");
    }
    let alone = attempts.lock().expect("no panic").iter().filter(|(turn, _)| *turn == Turn::Alone).count();
    assert_eq!(alone, LIMITS.alone, "single jobs run a few at a time");
    gate.add_permits(10);
    let mut answers = Vec::new();
    for answered in single {
        answers.push(answered.await.expect("every job is answered"));
    }
    let refused = 10 - LIMITS.alone - LIMITS.queue;
    assert_eq!(answers.iter().filter(|&&answer| answer == Err(Unanswered::Full)).count(), refused, "{answers:?}");
    assert_eq!(answers.iter().filter(|&&answer| answer == Ok(Turn::Alone)).count(), LIMITS.alone + LIMITS.queue);
    while lanes.count() > 0 {
        tokio::time::sleep(LIMITS.linger).await;
    }
}
