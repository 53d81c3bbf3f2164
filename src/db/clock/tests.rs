//! The clock by readings at chosen moments.

use super::*;

fn shown(second: i64) -> NaiveDateTime {
    chrono::DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
}

#[test]
fn a_reading_from_any_moment_between_request_and_response_is_no_jump() {
    let at = Instant::now();
    let after = |seconds| at + Duration::from_secs(seconds);
    let reading = Reading { shown: shown(0), at, last: at };
    for (second, asked, answered, jump) in [(10, 10, 10, 0), (10, 7, 12, 0), (17, 10, 10, 7), (2, 10, 14, -8)] {
        let found = reading.jump_to(shown(second), (after(asked), after(answered)));
        assert_eq!(found, TimeDelta::seconds(jump), "{second} between {asked} and {answered}");
    }
    let before = Reading { shown: shown(10), at: after(10), last: at };
    assert_eq!(before.jump_to(shown(0), (at, at)), TimeDelta::zero(), "a page may be older than the last reading");
}

/// Returns whether rows may run out by this time, read and answered this long after `start`.
fn admits_after(clock: &Clock, start: Instant, after: u64, second: i64) -> bool {
    let moment = start + Duration::from_secs(after);
    clock.admits_at(shown(second) + TimeDelta::seconds(after as i64), (moment, moment))
}

#[test]
fn nothing_runs_out_after_a_jump_in_either_direction_until_the_pause_is_over() {
    for jump in [-3600, -6, 6, 3600] {
        let (clock, start) = (Clock::default(), Instant::now());
        let admits = |after, second| admits_after(&clock, start, after, second);
        assert!(admits(0, 0), "the first reading is no jump");
        assert!(admits(0, 4), "a small difference is no jump");
        assert!(!admits(1, jump), "{jump}");
        assert!(!admits(1, jump), "nor is the next page with that time admitted");
        let left = clock.paused_for().expect("a pause");
        assert!(left > PAUSE / 2 && left <= PAUSE + Duration::from_secs(1), "{left:?}");
        let now = clock.now() - shown(jump);
        assert!(now.abs() < TimeDelta::seconds(5), "the clock goes on from there: {now}");
        assert!(!admits(60, jump));
        assert!(admits(61, jump));
    }
}

#[test]
fn rows_run_out_by_the_slowest_of_two_clocks_that_answer_in_turn() {
    for (first, second) in [(0, 3600), (3600, 0)] {
        let (clock, start) = (Clock::default(), Instant::now());
        let admits = |after, second| admits_after(&clock, start, after, second);
        assert!(admits(0, first));
        for after in 1..=60 {
            assert!(!admits(after, second) && !admits(after, first), "{after}: the first jump begins a pause");
        }
        for after in 61..200 {
            assert!(admits(after, 0) && !admits(after, 3600), "{after}: no later one does");
        }
        assert!(!admits(258, 3600));
        assert!(admits(259, 3600), "the slow clock has not returned within the pause");
        assert!(!admits(260, 0) && !admits(319, 0) && admits(320, 0), "its return after that is another jump");
    }
}

#[test]
fn every_unknown_clock_begins_a_pause_and_few_are_kept() {
    let (clock, start) = (Clock::default(), Instant::now());
    assert!(admits_after(&clock, start, 0, 0));
    for after in 1..1000 {
        assert!(!admits_after(&clock, start, after, 10 * after as i64));
        assert!(clock.known().clocks.len() <= CLOCKS);
    }
}

#[test]
fn a_jump_is_noticed_however_long_the_clock_was_not_read() {
    let (clock, start) = (Clock::default(), Instant::now());
    assert!(admits_after(&clock, start, 0, 0));
    assert!(!admits_after(&clock, start, 100_000, 3600));
}

#[test]
fn a_page_requested_before_the_jump_is_not_admitted_and_is_no_second_jump() {
    let (clock, before) = (Clock::default(), Instant::now());
    clock.read(shown(0), before);
    let asked = Instant::now();
    clock.read(shown(3600), Instant::now());
    assert!(!clock.admits(shown(0), asked), "it is not admitted");
    let now = clock.now() - shown(3600);
    assert!(now.abs() < TimeDelta::seconds(5), "the clock goes on from the last reading: {now}");
}

#[test]
fn without_a_pause_a_jump_stops_nothing() {
    let clock = Clock::new(Duration::ZERO);
    assert!([0, 3600, 0].map(|second| clock.admits(shown(second), Instant::now())).iter().all(|&admitted| admitted));
    clock.read(shown(0), Instant::now());
    clock.read(shown(3600), Instant::now());
    assert_eq!(clock.paused_for(), None);
}

#[test]
fn a_difference_of_the_clocks_is_reported_until_they_agree_again() {
    let clock = Clock::default();
    clock.read(local_now(), Instant::now());
    assert_eq!(clock.difference(), None);
    clock.read(local_now() + TimeDelta::seconds(3), Instant::now());
    let difference = clock.difference().expect("they differ");
    assert!((difference - TimeDelta::seconds(3)).abs() < TimeDelta::seconds(1), "{difference}");
    clock.read(local_now(), Instant::now());
    assert_eq!(clock.difference(), None);
}
