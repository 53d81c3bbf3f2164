//! Runs of the model without a part of the protocol. Each has to end in a counterexample, which shows that the runs of the
//! whole protocol can fail.

use std::collections::HashSet;

use stateright::{Checker as _, Model as _};

use super::scenario::{Part, Scenario};
use super::shop::{Event, Order, Status};
use super::world::{Caller, Step, Task, World};
use super::{T1, T2, failed, of_the_hold, one_buyer, paid, promise, refunded, three_buyers, two_buyers};

/// Returns a shortest path that breaks a promise: its steps and its last state.
fn counterexample(scenario: &Scenario, broken: &'static str) -> (Vec<Step>, World) {
    let path = (2..30)
        .find_map(|depth| scenario.clone().checker().target_max_depth(depth).spawn_bfs().join().discovery(broken));
    let path = path.unwrap_or_else(|| panic!("nothing breaks \"{broken}\" without {:?}", scenario.without));
    let world = path.last_state().clone();
    (path.into_actions(), world)
}

/// Asserts that the acknowledged payment waits beside its order, and that no task is left to apply it.
fn assert_lost(world: &World) {
    assert!(world.acknowledged[0] && world.tasks.is_empty(), "{world:?}");
    assert_eq!((world.shop.orders[0], world.shop.status(0)), (Order::Pending, Some(Status::Parked)));
}

#[test]
fn without_a_second_look_a_payment_and_its_order_can_miss_each_other() {
    use Part::{OrderLooksAgain, Sweep, WebhookLooksAgain};
    let base = Scenario { orders_end: false, ..one_buyer(&[paid(T1)]) };
    for (without, steps) in [
        (vec![Sweep, WebhookLooksAgain, OrderLooksAgain], 4),
        // the order looks before the payment is committed
        (vec![Sweep, WebhookLooksAgain], 5),
        // the payment looks before the order is committed
        (vec![Sweep, OrderLooksAgain], 5),
    ] {
        let scenario = Scenario { without, ..base.clone() };
        let (path, world) = counterexample(&scenario, promise::ACKNOWLEDGED_PAYS);
        assert_eq!(path.len(), steps, "{path:#?}");
        assert_lost(&world);
    }
}

#[test]
fn without_the_sweep_a_crash_between_the_steps_loses_a_payment() {
    let base = Scenario { orders_end: false, crashes: 1, ..one_buyer(&[paid(T1)]) };
    let scenario = Scenario { without: vec![Part::Sweep], ..base };
    let (path, world) = counterexample(&scenario, promise::ACKNOWLEDGED_PAYS);
    assert_lost(&world);
    let looking = Task::Looking { caller: Caller::Request(0) };
    assert!(path.ends_with(&[Step::Crash(looking)]), "{path:#?}");
    assert!(
        path.contains(&Step::Go(Task::Looking { caller: Caller::Delivery(0) })),
        "the payment has looked for its order: {path:#?}"
    );
}

/// Returns parts to leave out, each with a scenario and the promise that breaks in it.
fn what_is_missed() -> Vec<(Part, Scenario, &'static str)> {
    use Part::*;
    let lone = || one_buyer(&[paid(T1)]);
    let blind = || Scenario { without: vec![Sweep], ..lone() };
    let crash = || Scenario { crashes: 1, ..lone() };
    let two_charges = || one_buyer(&[paid(T1), paid(T2), refunded(T2)]);
    let deaf = || Scenario { without: vec![Sweep, OrderLooksAgain], ..one_buyer(&[paid(T1), failed()]) };
    let by_hold = Scenario { holds_end: true, ..one_buyer(&[of_the_hold(paid(T1))]) };
    let limited = || Scenario { stock: 2, limit: Some(1), ..two_buyers(&[paid(T1)]) };
    let replaced = Scenario { replaces: true, ..two_buyers(&[paid(T1)]) };
    let seated = || three_buyers(&[paid(T1)]);
    let ending = |events: &[Event]| Scenario { parking_ends: true, ..one_buyer(events) };
    vec![
        (WebhookLooksAgain, blind(), promise::NO_EVENT_WAITS),
        (WebhookLooksAgain, deaf(), promise::A_TASK_CAN_GO_ON),
        (OrderLooksAgain, blind(), promise::ACKNOWLEDGED_PAYS),
        (Sweep, crash(), promise::NO_EVENT_WAITS),
        (AnswersFollowCommits, crash(), promise::DURABLE),
        (HoldGuard, Scenario { holds_end: true, ..lone() }, promise::CONSERVED),
        (HoldGuard, Scenario { orders: vec![0, 0], ..lone() }, promise::ONE_ORDER_PER_HOLD),
        (PayGuard, two_charges(), promise::PAID_ONCE),
        (PayGuard, two_charges(), promise::NEVER_NOWHERE),
        (CancelGuard, lone(), promise::NEVER_NOWHERE),
        (StockGuard, two_buyers(&[paid(T1)]), promise::NOT_OVERSOLD),
        (Claim, lone(), promise::ONE_OUTCOME),
        (PaymentsGoFirst, lone(), promise::PAYMENTS_GO_FIRST),
        (RefundsNameTheirCharge, two_charges(), promise::REFUNDED_BY_ITS_CHARGE),
        (ChargesCountOnce, one_buyer(&[paid(T1), paid(T2), paid(T2)]), promise::NEVER_TWICE),
        (ChargesCountOnce, two_buyers(&[paid(T1), paid(T1)]), promise::NEVER_TWICE),
        (ChargesCountOnce, ending(&[paid(T1), paid(T1)]), promise::NEVER_TWICE),
        (DueChargesWakeRefunds, two_charges(), promise::GIVEN_BACK_ONCE),
        (DueChargesWakeRefunds, ending(&[paid(T1), refunded(T1)]), promise::GIVEN_BACK_ONCE),
        (DeadRefundsWake, ending(&[paid(T1), refunded(T1)]), promise::GIVEN_BACK_ONCE),
        (HoldsEndWhenMarked, by_hold, promise::DUE_WHEN_USELESS),
        (SeatGuard, seated(), promise::SEATED),
        (SeatsComeBack, seated(), promise::SEATED),
        (SeatsAreSold, seated(), promise::SEATED),
        (LimitGuard, limited(), promise::WITHIN_LIMIT),
        (ReplaceGuard, replaced, promise::CONSERVED),
        (MarkGuard, Scenario { limit_comes: true, ..limited() }, promise::COUNTED),
        (DeadlineGuard, Scenario { holds_end: true, extends: true, ..lone() }, promise::ENDS_AT_ITS_DEADLINE),
    ]
}

#[test]
fn every_part_is_needed_and_every_promise_can_be_broken() {
    let mut promises: HashSet<&str> = promise::ALWAYS.iter().map(|&(name, _)| name).collect();
    let mut parts = Part::ALL.to_vec();
    for (part, mut scenario, broken) in what_is_missed() {
        scenario.without.push(part);
        let (steps, _) = counterexample(&scenario, broken);
        println!("without {part:?}, \"{broken}\" breaks: {steps:?}");
        promises.remove(broken);
        parts.retain(|other| *other != part);
    }
    assert!(promises.is_empty(), "nothing breaks {promises:?}");
    assert!(parts.is_empty(), "no promise needs {parts:?}");
}
