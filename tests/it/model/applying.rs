//! The outcome of an event: the rows of the table "Events and their effects" in `docs/payments.md`.

use super::scenario::{Part, Resolved, Scenario};
use super::shop::{Charge, Meaning, Order, Shop, Status};

/// The result of a transaction's read, before it writes. Only guards see what others have committed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Sight {
    /// No order; for a refund: no success of its charge with an outcome.
    Nothing,
    HoldEnded,
    Contradiction,
    /// `pending` is kept only where the guard is missing: with the guard, no step relies on what was read.
    Order {
        order: usize,
        pending: bool,
    },
    /// A payment waits for the order and has to be applied first.
    PaymentWaits,
    /// For a refund: a success of its charge has an outcome.
    Charge,
}

impl Scenario {
    /// Reads what a transaction needs before it applies an event.
    pub(super) fn look(&self, shop: &Shop, number: usize) -> Sight {
        let event = &self.events[number];
        if let Meaning::Refunded { .. } = event.meaning {
            let known = self.charge_has_its_outcome(shop, event.charge);
            return if known { Sight::Charge } else { Sight::Nothing };
        }
        match self.resolve(shop, event) {
            Resolved::Order(order) if self.must_wait(shop, number, order) => Sight::PaymentWaits,
            Resolved::Order(order) => {
                let pending = !self.has(Part::PayGuard) && shop.orders[order] == Order::Pending;
                Sight::Order { order, pending }
            }
            Resolved::Missing if self.pays_for_an_ended_hold(shop, event) => Sight::HoldEnded,
            Resolved::Missing => Sight::Nothing,
            Resolved::Contradiction => Sight::Contradiction,
        }
    }

    fn must_wait(&self, shop: &Shop, number: usize, order: usize) -> bool {
        let failed = self.events[number].meaning == Meaning::Failed;
        failed && self.has(Part::PaymentsGoFirst) && self.payment_waits_for(shop, order)
    }

    /// Applies an event to what was read, and returns its new state.
    pub(super) fn apply(&self, shop: &mut Shop, number: usize, saw: Sight) -> Status {
        let event = &self.events[number];
        let counted = self.has(Part::ChargesCountOnce) && self.counted_before(shop, number);
        match (saw, event.meaning) {
            (Sight::Nothing | Sight::PaymentWaits, _) => Status::Parked,
            (Sight::Contradiction, _) => Status::Quarantined,
            (Sight::Order { .. }, _) if !event.fits => Status::Quarantined,
            (_, Meaning::Succeeded) if counted => Status::Ignored,
            (Sight::HoldEnded, _) => Status::RefundDue,
            (Sight::Order { order, pending }, Meaning::Succeeded) => self.succeed(shop, event.charge, order, pending),
            (Sight::Order { order, .. }, Meaning::Failed) if self.cancel(shop, order) => Status::Applied,
            (Sight::Order { .. }, _) => Status::Ignored,
            (Sight::Charge, Meaning::Refunded { restock }) => self.refund(shop, number, restock),
            (Sight::Charge, _) => Status::Parked,
        }
    }

    /// Returns whether another success of the same charge has paid an order or is due. A unique key decides this: the
    /// second transaction that settles the charge waits for the first to commit.
    pub(super) fn counted_before(&self, shop: &Shop, number: usize) -> bool {
        self.successes(shop, self.events[number].charge).any(|(other, status)| other != number && status.counts())
    }

    /// `pending`: what the transaction read, which is used only where the guard is missing.
    fn succeed(&self, shop: &mut Shop, charge: Charge, order: usize, pending: bool) -> Status {
        let state = shop.orders[order];
        match state {
            Order::Pending => {}
            _ if pending => {}
            Order::Cancelled if self.take_again(shop, self.orders[order]) => {}
            Order::Paid(paid) | Order::Refunded { charge: paid, .. } if paid == charge => return Status::Ignored,
            _ => return Status::RefundDue,
        }
        shop.orders[order] = Order::Paid(charge);
        self.sell_seats(shop, self.orders[order]);
        Status::Applied
    }

    /// Takes the unit of a hold and its seat again, and counts it; changes nothing if it cannot be had.
    fn take_again(&self, shop: &mut Shop, hold: usize) -> bool {
        let before = shop.clone();
        let taken = shop.count(hold, self.has(Part::LimitGuard))
            && shop.reserve(self.has(Part::StockGuard))
            && self.take_seat_again(shop, hold);
        if !taken {
            *shop = before;
        }
        taken
    }

    /// Cancels an order that is not paid, and puts its unit back on sale, once.
    pub(super) fn cancel(&self, shop: &mut Shop, order: usize) -> bool {
        let ours = shop.orders[order] == Order::Pending || !self.has(Part::CancelGuard);
        if ours {
            shop.orders[order] = Order::Cancelled;
            self.give_back(shop, self.orders[order]);
        }
        ours
    }

    /// Applies a refund to its charge: the one that paid an order, or one that is due.
    fn refund(&self, shop: &mut Shop, number: usize, restock: bool) -> Status {
        let charge = self.events[number].charge;
        let named = self.events[number].order.filter(|_| !self.has(Part::RefundsNameTheirCharge));
        let pays = |&order: &usize| shop.orders[order] == Order::Paid(charge) || named == Some(order);
        if let Some(order) = (0..shop.orders.len()).find(pays)
            && let Order::Paid(paid) = shop.orders[order]
        {
            shop.orders[order] = Order::Refunded { charge: paid, restocked: restock };
            if restock {
                self.give_back(shop, self.orders[order]);
            }
            return Status::Applied;
        }
        let successes: Vec<(usize, Status)> = self.successes(shop, charge).collect();
        if successes.iter().any(|&(success, _)| shop.shift(success, Status::RefundDue, Status::Refunded)) {
            return Status::Applied;
        }
        if successes.iter().any(|&(_, status)| status == Status::Quarantined) {
            return Status::Quarantined;
        }
        Status::Ignored
    }
}
