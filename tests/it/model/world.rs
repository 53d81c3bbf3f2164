//! One state of the model, and the steps that may follow.

use super::applying::Sight;
use super::scenario::{Part, Scenario};
use super::shop::Shop;

/// The database, which survives a crash; the tasks, which do not; and what external actors know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) shop: Shop,
    /// Requests and workers under way, sorted: their order has no meaning.
    pub(super) tasks: Vec<Task>,
    /// How often each event may still be delivered.
    pub(super) deliveries_left: Vec<u8>,
    /// Whether a delivery of the event was answered with 2xx.
    pub(super) acknowledged: Vec<bool>,
    pub(super) crashes_left: u8,
}

/// The place of a request or a worker: between two transactions, or in one that has read and not committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Task {
    /// A delivery has inserted its event and looked for the order; the row is not committed.
    Receiving { event: usize, saw: Sight },
    /// A request has marked the hold and inserted the order; neither is committed.
    Placing { order: usize },
    /// Its own rows are committed; about to look for waiting events.
    Looking { caller: Caller },
    /// Has found waiting events; applies one after the other.
    Waking { caller: Caller, waiting: Vec<usize> },
    /// Has claimed a waiting event and looked for its order.
    Applying { caller: Caller, event: usize, saw: Sight, waiting: Vec<usize> },
    /// Has found an order to cancel (at the buyer's request, or overdue); no payment waits for it.
    Cancelling { order: usize },
    /// A request has moved the deadline of the hold; it is not committed.
    Extending { hold: usize },
    /// A worker has found that the hold has run out.
    Expiring { hold: usize },
    /// A request has read the hold that it replaces, which was active; its packet is not sent.
    Replacing { old: usize, new: usize },
    /// Has found an event that has waited too long, and no order for it.
    EndingParking { event: usize },
    /// Has found a hold to count, in this state.
    Counting { hold: usize, ordered: bool },
}

/// The task for which waiting events are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Caller {
    Delivery(usize),
    Request(usize),
    /// The sweep, or an operator's replay.
    Worker,
}

/// A step that may happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    TakeHold(usize),
    /// A hold of this seat.
    TakeSeat(usize, usize),
    GiveHoldBack(usize),
    HoldRunsOut(usize),
    ExpireHold(usize),
    ExtendHold(usize),
    /// `POST /holds` with `replaces`: the first hold goes back, the second one is taken.
    Replace(usize, usize),
    /// `POST /orders` for the order of this number.
    Order(usize),
    /// The buyer cancels, or the deadline has passed.
    Cancel(usize),
    /// The provider delivers, for the first time or again.
    Deliver(usize),
    Sweep(usize),
    EndParking(usize),
    /// An operator replays a dead event.
    Replay(usize),
    /// An operator sets the limit.
    SetLimit,
    /// A worker counts a hold from before the limit.
    Count(usize),
    /// An operator gives back a charge that is due.
    PayBack(usize),
    /// A task takes its next step.
    Go(Task),
    /// One instance dies, and a task with it.
    Crash(Task),
    /// The only instance dies.
    CrashAll,
}

impl World {
    pub(super) fn start(&mut self, task: Task) {
        self.tasks.push(task);
        self.tasks.sort_unstable();
    }

    pub(super) fn stop(&mut self, task: &Task) {
        let at = self.tasks.iter().position(|other| other == task).expect("the task is under way");
        self.tasks.remove(at);
    }

    /// Returns whether a transaction under way has locked the event's row.
    pub(super) fn event_is_locked(&self, event: usize) -> bool {
        self.tasks.iter().any(|task| match task {
            Task::Receiving { event: other, .. } | Task::Applying { event: other, .. } => *other == event,
            _ => false,
        })
    }

    pub(super) fn hold_is_locked(&self, scenario: &Scenario, hold: usize) -> bool {
        let changes = |task: &Task| match task {
            Task::Placing { order } => scenario.has(Part::HoldGuard) && scenario.orders[*order] == hold,
            Task::Extending { hold: extended } => *extended == hold,
            _ => false,
        };
        self.tasks.iter().any(changes)
    }
}
