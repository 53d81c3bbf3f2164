//! The promises, each as a condition on one state. A state is quiet when no task is under way and the sweep would find
//! nothing: no further step happens without an external actor.

use stateright::{Model as _, Property};

use super::scenario::{Part, Resolved, Scenario};
use super::seats::seated;
use super::shop::{Hold, Meaning, Order, Status};
use super::world::{Caller, Step, Task, World};

type Condition = fn(&Scenario, &World) -> bool;

pub(super) const CONSERVED: &str = "the reserved units are those of the holds and orders";
pub(super) const NOT_OVERSOLD: &str = "never more units are reserved than the stock";
pub(super) const ONE_ORDER_PER_HOLD: &str = "a hold becomes one order at most";
pub(super) const PAID_ONCE: &str = "an order is paid by one success";
pub(super) const ONE_OUTCOME: &str = "an event gets its outcome once";
pub(super) const DURABLE: &str = "an acknowledged event is in the inbox";
pub(super) const NEVER_NOWHERE: &str = "no charge is lost";
pub(super) const NEVER_TWICE: &str = "no charge is used twice";
pub(super) const REFUNDED_BY_ITS_CHARGE: &str = "an order is refunded by a refund of its own charge";
pub(super) const PAYMENTS_GO_FIRST: &str = "no order is cancelled while an acknowledged payment waits for it";
pub(super) const DUE_WHEN_USELESS: &str = "no charge is due while the order that it names is pending";
pub(super) const NO_EVENT_WAITS: &str = "no event waits once it can be applied";
pub(super) const ACKNOWLEDGED_PAYS: &str = "no acknowledged payment waits once its order exists";
pub(super) const A_TASK_CAN_GO_ON: &str = "while tasks are under way, one of them can go on";
pub(super) const GIVEN_BACK_ONCE: &str = "a charge that was given back neither pays nor is due";

pub(super) const COUNTED: &str = "the counter has the marked units that are out";
pub(super) const WITHIN_LIMIT: &str = "no buyer has more units than the limit, if it was there from the beginning";
pub(super) const ENDS_AT_ITS_DEADLINE: &str = "a worker ends a hold only after its deadline";

pub(super) const SEATED: &str = "a unit that is out has the seat of its hold, which is sold exactly while it is paid";

pub(super) const PARKED_PAID: &str = "a payment that came before its order paid it";
pub(super) const LATE: &str = "a late payment finds its order cancelled and a unit in stock";
pub(super) const DUE: &str = "a charge is due for refund";
pub(super) const SETTLED: &str = "a refund settled a charge that was due";
pub(super) const RESTOCKED: &str = "a refund put its unit back on sale";
pub(super) const MENDED: &str = "the sweep applies a payment that a crash left waiting";
pub(super) const QUARANTINED: &str = "an event is quarantined";
pub(super) const ANSWERED: &str = "every event is acknowledged and the state is quiet";

pub(super) const ALWAYS: [(&str, Condition); 19] = [
    (CONSERVED, conserved),
    (NOT_OVERSOLD, not_oversold),
    (ONE_ORDER_PER_HOLD, one_order_per_hold),
    (PAID_ONCE, paid_once),
    (ONE_OUTCOME, one_outcome),
    (DURABLE, durable),
    (NEVER_NOWHERE, never_nowhere),
    (NEVER_TWICE, never_twice),
    (REFUNDED_BY_ITS_CHARGE, refunded_by_its_charge),
    (PAYMENTS_GO_FIRST, payments_go_first),
    (DUE_WHEN_USELESS, due_when_useless),
    (NO_EVENT_WAITS, no_event_waits),
    (ACKNOWLEDGED_PAYS, acknowledged_pays),
    (A_TASK_CAN_GO_ON, a_task_can_go_on),
    (GIVEN_BACK_ONCE, given_back_once),
    (COUNTED, counted),
    (WITHIN_LIMIT, within_limit),
    (ENDS_AT_ITS_DEADLINE, |_, world| !world.shop.ended_early),
    (SEATED, seated),
];

const SOMETIMES: [(&str, Condition); 8] = [
    (PARKED_PAID, |scenario, world| {
        let paid = |event| success(scenario, event) && world.shop.status(event) == Some(Status::Applied);
        (0..scenario.events.len()).any(|event| paid(event) && world.shop.inbox[event].is_some_and(|row| row.waited))
    }),
    (LATE, |scenario, world| {
        world.tasks.iter().any(|task| match task {
            Task::Receiving { event, .. } | Task::Applying { event, .. } if success(scenario, *event) => {
                let order = scenario.resolve(&world.shop, &scenario.events[*event]);
                matches!(order, Resolved::Order(order) if world.shop.orders[order] == Order::Cancelled)
                    && world.shop.reserved < world.shop.stock
            }
            _ => false,
        })
    }),
    (DUE, |scenario, world| in_state(scenario, world, Status::RefundDue)),
    (SETTLED, |scenario, world| {
        let refunds = |event: &usize| matches!(scenario.events[*event].meaning, Meaning::Refunded { .. });
        let applied = |event: usize| world.shop.status(event) == Some(Status::Applied);
        in_state(scenario, world, Status::Refunded) && (0..scenario.events.len()).filter(refunds).any(applied)
    }),
    (RESTOCKED, |_, world| {
        world.shop.orders.iter().any(|order| matches!(order, Order::Refunded { restocked: true, .. }))
    }),
    (MENDED, |scenario, world| {
        let mends = |task: &Task| match task {
            Task::Applying { caller: Caller::Worker, event, .. } => success(scenario, *event),
            _ => false,
        };
        world.crashes_left < scenario.crashes && world.tasks.iter().any(mends)
    }),
    (QUARANTINED, |scenario, world| in_state(scenario, world, Status::Quarantined)),
    (ANSWERED, |scenario, world| quiet(scenario, world) && world.acknowledged.iter().all(|answered| *answered)),
];

/// Returns every promise, and the states that this scenario has to reach.
pub(super) fn of(scenario: &Scenario) -> Vec<Property<Scenario>> {
    let always = ALWAYS.into_iter().map(|(name, condition)| Property::always(name, condition));
    let shown = SOMETIMES.into_iter().filter(|(name, _)| scenario.shows.contains(name));
    always.chain(shown.map(|(name, condition)| Property::sometimes(name, condition))).collect()
}

fn success(scenario: &Scenario, event: usize) -> bool {
    scenario.events[event].meaning == Meaning::Succeeded
}

fn in_state(scenario: &Scenario, world: &World, status: Status) -> bool {
    (0..scenario.events.len()).any(|event| world.shop.status(event) == Some(status))
}

fn quiet(scenario: &Scenario, world: &World) -> bool {
    let found = |event| scenario.has(Part::Sweep) && scenario.sweepable(&world.shop, event);
    world.tasks.is_empty() && !(0..scenario.events.len()).any(found)
}

/// "`stock = available + held + awaiting payment + sold` holds at every commit": reserved counts active holds, orders
/// that await payment, paid ones, and refunded ones that were not restocked.
fn conserved(_: &Scenario, world: &World) -> bool {
    let held = world.shop.holds.iter().filter(|hold| matches!(hold, Hold::Active | Hold::RunOut)).count();
    let ordered = world.shop.orders.iter().filter(|order| order.keeps_its_unit()).count();
    usize::try_from(world.shop.reserved) == Ok(held + ordered)
}

/// "Never oversold": `CHECK (reserved BETWEEN 0 AND stock)`, which never has to refuse.
fn not_oversold(_: &Scenario, world: &World) -> bool {
    (0..=world.shop.stock).contains(&world.shop.reserved)
}

/// "An order is made from one hold, once."
fn one_order_per_hold(scenario: &Scenario, world: &World) -> bool {
    (0..scenario.holds).all(|hold| {
        let of_hold = |order: &usize| scenario.orders[*order] == hold && world.shop.orders[*order] != Order::Absent;
        (0..scenario.orders.len()).filter(of_hold).count() <= 1
    })
}

/// "Another key, success for an order that is already paid: a second charge, `refund_due`."
fn paid_once(scenario: &Scenario, world: &World) -> bool {
    let paid = |event: &usize| success(scenario, *event) && world.shop.status(*event) == Some(Status::Applied);
    (0..scenario.orders.len()).all(|order| {
        let its = |event: &usize| scenario.resolve(&world.shop, &scenario.events[*event]) == Resolved::Order(order);
        (0..scenario.events.len()).filter(paid).filter(its).count() <= 1
    })
}

/// "The same event again, at once or days later, in parallel: one effect."
fn one_outcome(_: &Scenario, world: &World) -> bool {
    world.shop.inbox.iter().flatten().all(|row| row.outcomes <= 1)
}

/// "A 2xx is sent only when the event is durable."
fn durable(_: &Scenario, world: &World) -> bool {
    world.acknowledged.iter().zip(&world.shop.inbox).all(|(answered, row)| !answered || row.is_some())
}

/// Returns how often the charge of a success is used: by orders that it paid, and by successes that are due or refunded.
fn spent(scenario: &Scenario, world: &World, event: usize) -> usize {
    let charge = scenario.events[event].charge;
    let orders = world.shop.orders.iter().filter(|order| order.charge() == Some(charge)).count();
    let due = |&(_, status): &(usize, Status)| matches!(status, Status::RefundDue | Status::Refunded);
    orders + scenario.successes(&world.shop, charge).filter(due).count()
}

/// Returns whether a success of the same charge is parked or quarantined.
fn waits(scenario: &Scenario, world: &World, event: usize) -> bool {
    let waiting = |status| matches!(status, Status::Parked | Status::Quarantined);
    scenario.successes(&world.shop, scenario.events[event].charge).any(|(_, status)| waiting(status))
}

fn received(scenario: &Scenario, world: &World) -> impl Iterator<Item = usize> {
    (0..scenario.events.len()).filter(|&event| success(scenario, event) && world.shop.inbox[event].is_some())
}

/// "Every amount that a provider reports is accounted for: it paid for an order, it is due for refund or refunded, or
/// it is parked or quarantined."
fn never_nowhere(scenario: &Scenario, world: &World) -> bool {
    received(scenario, world).all(|event| spent(scenario, world, event) > 0 || waits(scenario, world, event))
}

/// The reverse: a charge that paid an order is not also due, and no charge is due twice.
fn never_twice(scenario: &Scenario, world: &World) -> bool {
    received(scenario, world).all(|event| spent(scenario, world, event) < 2)
}

/// "A refund belongs to a charge. A refund of a charge that is due for refund settles that; the order stays."
fn refunded_by_its_charge(scenario: &Scenario, world: &World) -> bool {
    world.shop.orders.iter().all(|order| match order {
        Order::Refunded { charge, .. } => (0..scenario.events.len()).any(|event| {
            let refund = matches!(scenario.events[event].meaning, Meaning::Refunded { .. });
            refund && scenario.events[event].charge == *charge && world.shop.status(event) == Some(Status::Applied)
        }),
        _ => true,
    })
}

/// "Several events waited for one order: successes are applied first"; a payment before the deadline protects its order,
/// although it has not been applied yet.
fn payments_go_first(scenario: &Scenario, world: &World) -> bool {
    received(scenario, world).filter(|&event| world.acknowledged[event]).all(|event| {
        let order = scenario.resolve(&world.shop, &scenario.events[event]);
        let cancelled = matches!(order, Resolved::Order(order) if world.shop.orders[order] == Order::Cancelled);
        !cancelled || world.shop.status(event) != Some(Status::Parked)
    })
}

/// A payment pays its order, unless its parking ended before the order appeared.
fn due_when_useless(scenario: &Scenario, world: &World) -> bool {
    received(scenario, world).filter(|_| !scenario.parking_ends).all(|event| {
        let order = scenario.resolve(&world.shop, &scenario.events[event]);
        let pending = matches!(order, Resolved::Order(order) if world.shop.orders[order] == Order::Pending);
        !pending || world.shop.status(event) != Some(Status::RefundDue)
    })
}

/// "Two sides that must find each other both commit their own row first and look for the other's afterwards": in a quiet
/// state, no event is parked whose order exists, no payment whose hold ended, and no refund whose success has its outcome.
fn no_event_waits(scenario: &Scenario, world: &World) -> bool {
    let found = |event: usize| {
        let (shop, event) = (&world.shop, &scenario.events[event]);
        match event.meaning {
            Meaning::Refunded { .. } => scenario.charge_has_its_outcome(shop, event.charge),
            _ => scenario.resolve(shop, event) != Resolved::Missing || scenario.pays_for_an_ended_hold(shop, event),
        }
    };
    let parked = |event: &usize| world.shop.status(*event) == Some(Status::Parked);
    !quiet(scenario, world) || !(0..scenario.events.len()).filter(parked).any(found)
}

/// The first promise, for acknowledged payments: in a quiet state, a payment whose order exists has paid it, or is due,
/// refunded or quarantined.
fn acknowledged_pays(scenario: &Scenario, world: &World) -> bool {
    let beside_its_order = |event: usize| {
        let resolved = scenario.resolve(&world.shop, &scenario.events[event]);
        matches!(resolved, Resolved::Order(_)) && world.shop.status(event) == Some(Status::Parked)
    };
    !quiet(scenario, world)
        || received(scenario, world).filter(|&event| world.acknowledged[event]).all(|event| !beside_its_order(event))
}

/// Some task can always go on. Without this, a run that is never quiet would keep all promises about quiet states.
fn a_task_can_go_on(scenario: &Scenario, world: &World) -> bool {
    let goes_on = |task: &Task| scenario.next_state(world, Step::Go(task.clone())).is_some();
    world.tasks.is_empty() || world.tasks.iter().any(goes_on)
}

/// "A refund of the charge that paid the order makes it `refunded`; a refund of a charge that is due settles that"; in a
/// quiet state, whichever came first.
fn given_back_once(scenario: &Scenario, world: &World) -> bool {
    let shop = &world.shop;
    let given_back = |event: &usize| {
        let refund = matches!(scenario.events[*event].meaning, Meaning::Refunded { .. });
        refund && shop.status(*event).is_some_and(|status| status != Status::Quarantined)
    };
    !quiet(scenario, world)
        || (0..scenario.events.len()).filter(given_back).all(|event| {
            let charge = scenario.events[event].charge;
            let due = scenario.successes(shop, charge).any(|(_, status)| status == Status::RefundDue);
            !due && !shop.orders.contains(&Order::Paid(charge))
        })
}

/// A counter has what the marks on the rows of holds say.
fn counted(scenario: &Scenario, world: &World) -> bool {
    let marked = |hold: &usize| world.shop.marks[*hold] && scenario.is_out(&world.shop, *hold).is_some();
    usize::try_from(world.shop.counted) == Ok((0..scenario.holds).filter(marked).count())
}

/// "Limit per buyer: units of one buyer in active holds, pending, paid and not restocked orders."
fn within_limit(scenario: &Scenario, world: &World) -> bool {
    let out = (0..scenario.holds).filter(|&hold| scenario.is_out(&world.shop, hold).is_some()).count();
    scenario.limit_comes || scenario.limit.is_none_or(|most| usize::try_from(most).is_ok_and(|most| out <= most))
}
