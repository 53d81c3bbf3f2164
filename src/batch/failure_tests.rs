//! Batches that panic, do not return or are spoiled fail no job that does not belong to the fault.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::tests::{Bench, LIMITS, PANICKING, STUCK, response, submit};
use super::*;

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
    let lanes = Lanes::new("test", Fragile, LIMITS);
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
        (Lanes::new("test", work, limits), attempts, gate)
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
