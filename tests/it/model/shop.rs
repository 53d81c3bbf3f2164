//! The model's database: the committed rows, and the guarded statements that change them. It survives every crash.

use super::seats::Seats;

/// A hold of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Hold {
    NotTaken,
    Active,
    /// Still `active` in its row, but the clock has passed its `expires_at`.
    RunOut,
    Ordered,
    Released,
    Expired,
}

/// A provider's charge: its `txn_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Charge(pub(super) u8);

/// An order; a paid or refunded one names the charge that paid it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Order {
    Absent,
    Pending,
    Cancelled,
    Paid(Charge),
    Refunded { charge: Charge, restocked: bool },
}

impl Order {
    /// Returns the charge that paid the order, also after a refund.
    pub(super) fn charge(self) -> Option<Charge> {
        match self {
            Self::Paid(charge) | Self::Refunded { charge, .. } => Some(charge),
            Self::Absent | Self::Pending | Self::Cancelled => None,
        }
    }

    /// Returns whether the order's unit stays reserved.
    pub(super) fn keeps_its_unit(self) -> bool {
        matches!(self, Self::Pending | Self::Paid(_) | Self::Refunded { restocked: false, .. })
    }
}

/// The meaning of a provider's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Meaning {
    Succeeded,
    Failed,
    Refunded { restock: bool },
}

/// An event as its provider delivers it; its number in the scenario is its idempotency key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) meaning: Meaning,
    pub(super) charge: Charge,
    pub(super) order: Option<usize>,
    pub(super) hold: Option<usize>,
    /// Whether amount and currency are the order's.
    pub(super) fits: bool,
}

/// The state of an event in the inbox. `received` is missing: it never outlives the transaction that inserts the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Status {
    Parked,
    Applied,
    Ignored,
    Quarantined,
    RefundDue,
    Refunded,
    Dead,
}

impl Status {
    /// For a success: returns whether its charge has paid an order, is due, or was given back.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Applied | Self::RefundDue | Self::Refunded)
    }
}

/// An event in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) status: Status,
    /// How often it was given an outcome; a copy must not give it another one.
    pub(super) outcomes: u8,
    /// Whether it was ever parked.
    pub(super) waited: bool,
}

/// One product of `stock` units, its holds and orders, and the inbox by the number of the event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shop {
    pub(super) stock: i8,
    pub(super) reserved: i8,
    pub(super) holds: Vec<Hold>,
    /// The most units of one buyer, who has all holds; `None`: there is no limit, or not yet.
    pub(super) limit: Option<i8>,
    /// The counter of the buyer's units, and whether it has the unit of each hold while that is out.
    pub(super) counted: i8,
    pub(super) marks: Vec<bool>,
    pub(super) seats: Seats,
    pub(super) orders: Vec<Order>,
    pub(super) inbox: Vec<Option<Row>>,
    /// Whether a worker has ended a hold before its deadline.
    pub(super) ended_early: bool,
}

impl Shop {
    /// `UPDATE products SET reserved = reserved + 1 WHERE available >= 1`; the guard can be left out to show that it is
    /// needed.
    pub(super) fn reserve(&mut self, guarded: bool) -> bool {
        let fits = !guarded || self.reserved < self.stock;
        self.reserved += i8::from(fits);
        fits
    }

    /// Puts the unit of a hold back on sale, and takes it off the counter that has it.
    pub(super) fn give_back(&mut self, hold: usize) {
        self.reserved -= 1;
        self.counted -= i8::from(self.marks[hold]);
    }

    /// Counts the unit of a hold, if there is a limit or it was counted before. Returns false when it would pass the limit; the
    /// check can be left out to show that it is needed.
    pub(super) fn count(&mut self, hold: usize, guarded: bool) -> bool {
        if self.limit.is_none() && !self.marks[hold] {
            return true;
        }
        if guarded && self.limit.is_some_and(|most| self.counted >= most) {
            return false;
        }
        self.counted += 1;
        self.marks[hold] = true;
        true
    }

    /// Inserts the event with its outcome, or parked.
    pub(super) fn insert(&mut self, event: usize, status: Status) {
        let waits = status == Status::Parked;
        self.inbox[event] = Some(Row { status, outcomes: u8::from(!waits), waited: waits });
    }

    /// Gives a waiting event its outcome.
    pub(super) fn settle(&mut self, event: usize, status: Status) {
        if let Some(row) = &mut self.inbox[event] {
            row.status = status;
            row.outcomes = row.outcomes.saturating_add(1);
        }
    }

    /// Moves an event from one state to another, if it is in the first.
    pub(super) fn shift(&mut self, event: usize, from: Status, to: Status) -> bool {
        match &mut self.inbox[event] {
            Some(row) if row.status == from => {
                row.status = to;
                true
            }
            _ => false,
        }
    }

    pub(super) fn status(&self, event: usize) -> Option<Status> {
        self.inbox[event].map(|row| row.status)
    }
}
