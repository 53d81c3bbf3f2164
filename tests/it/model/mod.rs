//! A model of the protocol of holds, orders, payments and expiry, small enough to try every interleaving of it.
//!
//! A world is a database that survives every crash, requests and workers that a crash ends, and external actors (buyers,
//! a provider, operators, the clock) that may act at any moment or never: deliveries are late, repeated, reordered or
//! lost, clients disconnect between two requests, deadlines pass. One step is one of these:
//!
//! - A transaction of a single guarded statement, or an action of an external actor.
//! - The first half of a longer transaction: it locks what it inserts or claims, and reads what is committed by now.
//! - Its second half: the guarded statements and the commit. Guards see the rows as they are now; what the first half
//!   read may be stale, as in READ COMMITTED. A step waits for a row that another transaction has locked.
//!
//! Between any two steps an instance may die, and its unfinished work is lost. A [`Scenario`] bounds how often things
//! happen; breadth-first search then visits every state and checks every promise in `properties`. A scenario can also
//! leave out a [`Part`] of the protocol: the tests in `missing` show which promise breaks without each part, and that
//! each promise can break.
//!
//! Left out: quantities (and so holds that shrink), the deadlines of orders, which are extended as those of holds are; carts,
//! several products and several seats of one hold (a limit per buyer is one for all holds); amounts in part; events without a `txn_id`; `Idempotency-Key`s and
//! copies of requests other than deliveries; batches (one is as atomic as its transaction); refusals, which change nothing; a
//! COMMIT whose response is lost (the same as a crash right after it, and a delivery repeated); responses other than 2xx; what
//! the engine does by itself (locks in other orders, deadlocks: they roll back, and a transaction that is rolled back has no
//! effect).

mod applying;
mod linking;
mod missing;
mod properties;
mod protocol;
mod scenario;
mod seats;
mod shop;
mod world;

use std::time::Instant;

use stateright::{Checker as _, Model as _};

use self::properties as promise;
use self::scenario::{Part, Scenario};
use self::shop::{Charge, Event, Meaning};

const T1: Charge = Charge(1);
const T2: Charge = Charge(2);

fn paid(charge: Charge) -> Event {
    Event { meaning: Meaning::Succeeded, charge, order: Some(0), hold: None, fits: true }
}

fn failed() -> Event {
    Event { meaning: Meaning::Failed, ..paid(Charge(0)) }
}

fn refunded(charge: Charge) -> Event {
    Event { meaning: Meaning::Refunded { restock: false }, ..paid(charge) }
}

fn restocked(charge: Charge) -> Event {
    Event { meaning: Meaning::Refunded { restock: true }, ..paid(charge) }
}

/// The same event, naming the hold instead of the order.
fn of_the_hold(event: Event) -> Event {
    Event { order: None, hold: Some(0), ..event }
}

/// One buyer with a hold of the only unit, which may become an order, and these events.
fn one_buyer(events: &[Event]) -> Scenario {
    Scenario {
        stock: 1,
        holds: 1,
        taken: 1,
        orders: vec![0],
        events: events.to_vec(),
        deliveries: 1,
        at_once: 3,
        orders_end: true,
        ..Scenario::default()
    }
}

/// Two buyers and one unit: the second can hold it if the first does not keep it.
fn two_buyers(events: &[Event]) -> Scenario {
    Scenario { holds: 2, orders: vec![0, 1], ..one_buyer(events) }
}

/// Visits every state, and asserts that each promise holds in all of them. There must be `at_least` this many states: far
/// fewer would mean that some steps are never taken.
fn explore(scenario: Scenario, at_least: usize) {
    let started = Instant::now();
    let checker = scenario.checker().spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    println!("{states} states, {} steps deep, in {:?}", checker.max_depth(), started.elapsed());
    assert!(states >= at_least, "{states} states, not {at_least}");
}

#[test]
fn a_payment_and_its_order_are_matched_whatever_crashes() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::MENDED];
    explore(Scenario { deliveries: 3, crashes: 2, at_once: 4, shows, ..one_buyer(&[paid(T1)]) }, 1_900);
}

#[test]
fn without_a_crash_a_payment_and_its_order_are_matched_without_the_sweep() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID];
    let without = vec![Part::Sweep];
    let base = one_buyer(&[paid(T1), failed()]);
    explore(Scenario { deliveries: 2, without: without.clone(), shows: shows.clone(), ..base }, 5_000);
    let base = one_buyer(&[paid(T1), paid(T2), refunded(T2)]);
    explore(Scenario { without, shows, ..base }, 9_000);
}

#[test]
fn a_payment_for_a_hold_pays_its_order_or_is_due() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::MENDED, promise::DUE];
    let base = one_buyer(&[of_the_hold(paid(T1)), of_the_hold(failed())]);
    explore(Scenario { deliveries: 2, crashes: 1, holds_end: true, shows, ..base }, 25_000);
}

#[test]
fn of_two_charges_one_pays_and_the_other_is_due_until_it_is_refunded() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::DUE, promise::SETTLED, promise::RESTOCKED];
    explore(Scenario { crashes: 1, shows, ..one_buyer(&[paid(T1), paid(T2), restocked(T2)]) }, 48_000);
}

#[test]
fn a_charge_counts_once_whatever_keys_it_comes_under() {
    let shows = vec![promise::ANSWERED, promise::DUE, promise::SETTLED, promise::LATE];
    explore(Scenario { shows, ..two_buyers(&[paid(T1), paid(T1), refunded(T1)]) }, 54_000);
    let wrong = Event { fits: false, ..paid(T1) };
    let shows = vec![promise::ANSWERED, promise::QUARANTINED];
    explore(Scenario { crashes: 1, shows, ..one_buyer(&[wrong, paid(T1), refunded(T1)]) }, 65_000);
}

#[test]
fn a_late_payment_gets_the_unit_again_or_is_due() {
    let shows = vec![promise::ANSWERED, promise::LATE, promise::DUE];
    let other = Event { order: Some(1), ..paid(T2) };
    explore(Scenario { crashes: 1, deliveries: 2, shows, ..two_buyers(&[paid(T1), other]) }, 25_000);
}

#[test]
fn a_buyer_keeps_the_limit_and_units_from_before_it_are_counted_once() {
    let shows = vec![promise::ANSWERED, promise::LATE, promise::DUE, promise::RESTOCKED];
    let base = Scenario { stock: 2, limit: Some(1), holds_end: true, ..two_buyers(&[paid(T1), restocked(T1)]) };
    explore(Scenario { crashes: 1, shows: shows.clone(), ..base.clone() }, 10_000);
    explore(Scenario { limit_comes: true, shows, ..base }, 10_000);
}

#[test]
fn a_failure_never_cancels_a_paid_order() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::RESTOCKED, promise::MENDED];
    explore(Scenario { crashes: 1, shows, ..one_buyer(&[paid(T1), failed(), restocked(T1)]) }, 50_000);
}

#[test]
fn an_event_that_waits_too_long_still_gets_an_outcome() {
    let shows = vec![promise::ANSWERED, promise::DUE, promise::SETTLED, promise::MENDED];
    explore(Scenario { crashes: 1, parking_ends: true, shows, ..one_buyer(&[paid(T1), refunded(T1)]) }, 11_000);
    let shows = vec![promise::ANSWERED, promise::DUE];
    explore(Scenario { parking_ends: true, shows, ..one_buyer(&[paid(T1), paid(T1), failed()]) }, 68_000);
}

#[test]
fn a_hold_that_is_extended_in_time_is_neither_expired_nor_lost() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::DUE];
    let base = one_buyer(&[of_the_hold(paid(T1))]);
    explore(Scenario { extends: true, holds_end: true, crashes: 1, deliveries: 2, shows, ..base }, 1_100);
}

#[test]
fn a_hold_that_replaces_another_has_its_unit_or_leaves_it_as_it_is() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::DUE];
    let other = Event { order: Some(1), ..paid(T2) };
    let base = Scenario { replaces: true, holds_end: true, limit: Some(1), ..two_buyers(&[paid(T1), other]) };
    explore(Scenario { crashes: 1, shows: shows.clone(), ..base.clone() }, 16_000);
    explore(Scenario { extends: true, limit: None, shows, ..base }, 9_000);
}

/// Two seats and three buyers; the first one has the first seat.
fn three_buyers(events: &[Event]) -> Scenario {
    Scenario { stock: 2, seats: 2, holds: 3, orders: vec![0, 1], ..one_buyer(events) }
}

#[test]
fn of_two_seats_each_of_three_buyers_has_one_alone_or_none() {
    let shows = vec![promise::ANSWERED, promise::LATE, promise::DUE, promise::RESTOCKED];
    let other = Event { order: Some(1), ..paid(T2) };
    let events = [paid(T1), other, restocked(T1)];
    explore(Scenario { at_once: 2, shows, ..three_buyers(&events) }, 1_000);
    let shows = vec![promise::ANSWERED, promise::LATE, promise::DUE, promise::MENDED];
    let base = Scenario { holds_end: true, replaces: true, crashes: 1, ..three_buyers(&events[..1]) };
    explore(Scenario { shows, ..base }, 1_000);
}

#[test]
fn a_hold_becomes_one_order_and_events_that_contradict_it_are_quarantined() {
    let shows = vec![promise::ANSWERED, promise::PARKED_PAID, promise::QUARANTINED];
    let both = Event { hold: Some(0), ..paid(T1) };
    let other = Event { order: Some(1), ..paid(T2) };
    let base = one_buyer(&[both, other]);
    explore(Scenario { orders: vec![0, 0], deliveries: 2, crashes: 1, holds_end: true, shows, ..base }, 22_000);
}
