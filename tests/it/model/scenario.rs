//! The start of a run of the model, and the bounds of what may happen in it.

use super::seats::Seats;
use super::shop::{Charge, Event, Hold, Meaning, Order, Shop, Status};

/// A part of the protocol that a run can leave out, to show that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A delivery that parked its event looks again for events that wait for the order.
    WebhookLooksAgain,
    /// A request that made an order looks for events that came before it.
    OrderLooksAgain,
    /// A worker looks for events that wait although they could be applied.
    Sweep,
    /// A delivery gets its response after its transaction has committed, not before.
    AnswersFollowCommits,
    /// `UPDATE holds SET status = 'ordered' … AND status = 'active'`, and `UNIQUE(hold_id)` on orders.
    HoldGuard,
    /// `UPDATE orders SET status = 'paid' … AND status = 'pending'`.
    PayGuard,
    /// `UPDATE orders SET status = 'cancelled' … AND status = 'pending'`.
    CancelGuard,
    /// `UPDATE products … AND available >= 1` when a late payment reserves again.
    StockGuard,
    /// `UPDATE payment_events … AND status = 'parked'` before a waiting event is applied, which also locks its row.
    Claim,
    /// A cancellation first applies a payment that waits for the order.
    PaymentsGoFirst,
    /// A refund gives back the charge that it names, and no other.
    RefundsNameTheirCharge,
    /// A charge pays or is due once, whatever keys its successes have: a unique key on the charges that count.
    ChargesCountOnce,
    /// A waiting refund is applied after any outcome of its success, not only after the success has paid an order.
    DueChargesWakeRefunds,
    /// A refund whose parking has ended is still applied after its success.
    DeadRefundsWake,
    /// A hold has ended when its row says so; the reader's clock does not decide.
    HoldsEndWhenMarked,
    /// `UPDATE holds SET status = 'expired' … AND expires_at <= NOW(6)`: a worker compares the deadline once more.
    DeadlineGuard,
    /// `UPDATE holds SET status = 'released' … AND status = 'active'` of a hold that a new one replaces, its rows counted.
    ReplaceGuard,
    /// A late payment is due when its unit would pass the limit of the buyer.
    LimitGuard,
    /// `UPDATE holds SET counted_on = … AND counted_on IS NULL`, with the state in which the hold was read.
    MarkGuard,
    /// `UPDATE seats … AND hold_id IS NULL` when a late payment takes its seat again, the count compared.
    SeatGuard,
    /// Seats are free again with their units.
    SeatsComeBack,
    /// A payment marks the seats of its hold sold.
    SeatsAreSold,
}

impl Part {
    pub(super) const ALL: [Self; 22] = [
        Self::WebhookLooksAgain,
        Self::OrderLooksAgain,
        Self::Sweep,
        Self::AnswersFollowCommits,
        Self::HoldGuard,
        Self::PayGuard,
        Self::CancelGuard,
        Self::StockGuard,
        Self::Claim,
        Self::PaymentsGoFirst,
        Self::RefundsNameTheirCharge,
        Self::ChargesCountOnce,
        Self::DueChargesWakeRefunds,
        Self::DeadRefundsWake,
        Self::HoldsEndWhenMarked,
        Self::LimitGuard,
        Self::MarkGuard,
        Self::DeadlineGuard,
        Self::ReplaceGuard,
        Self::SeatGuard,
        Self::SeatsComeBack,
        Self::SeatsAreSold,
    ];
}

/// A bounded world. Everything that may happen in it may happen in any order and at any moment, or not at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Scenario {
    /// Units on sale.
    pub(super) stock: i8,
    /// How many of them are seats: all, or none.
    pub(super) seats: usize,
    /// How many holds there may be, and how many of them are active at the start.
    pub(super) holds: usize,
    pub(super) taken: usize,
    /// The most units of one buyer, who has all holds; and whether the limit is only set while units are out.
    pub(super) limit: Option<i8>,
    pub(super) limit_comes: bool,
    /// The hold of each order; an order's number is the id that its client chose.
    pub(super) orders: Vec<usize>,
    pub(super) events: Vec<Event>,
    /// How often each event is delivered at most.
    pub(super) deliveries: u8,
    /// How many crashes there are at most.
    pub(super) crashes: u8,
    /// Requests and workers that are under way at the same time, at most.
    pub(super) at_once: usize,
    /// Whether holds are given back or run out.
    pub(super) holds_end: bool,
    /// Whether holds are extended, and the worker that ends them looks for them first.
    pub(super) extends: bool,
    /// Whether holds replace others.
    pub(super) replaces: bool,
    /// Whether orders are cancelled by their buyer or not paid in time.
    pub(super) orders_end: bool,
    /// Whether events wait longer than they may, and operators replay events and give charges back.
    pub(super) parking_ends: bool,
    /// The parts that this run leaves out.
    pub(super) without: Vec<Part>,
    /// The states that must be among those explored, by their names in `properties`.
    pub(super) shows: Vec<&'static str>,
}

/// The result of looking up an event's references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    Order(usize),
    Missing,
    /// Order and hold do not belong together.
    Contradiction,
}

impl Scenario {
    pub(super) fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    pub(super) fn opening(&self) -> Shop {
        let hold = |hold| if hold < self.taken { Hold::Active } else { Hold::NotTaken };
        let taken = i8::try_from(self.taken).expect("a few holds");
        Shop {
            stock: self.stock,
            reserved: taken,
            holds: (0..self.holds).map(hold).collect(),
            limit: self.limit.filter(|_| !self.limit_comes),
            counted: if self.limit.is_some() && !self.limit_comes { taken } else { 0 },
            marks: (0..self.holds).map(|hold| hold < self.taken && self.limit.is_some() && !self.limit_comes).collect(),
            seats: Seats::opening(self.seats, self.holds, self.taken),
            orders: vec![Order::Absent; self.orders.len()],
            inbox: vec![None; self.events.len()],
            ended_early: false,
        }
    }

    /// Returns the order that an event names.
    pub(super) fn resolve(&self, shop: &Shop, event: &Event) -> Resolved {
        let exists = |order: &usize| shop.orders[*order] != Order::Absent;
        let by_order = event.order.filter(exists);
        let by_hold = event.hold.and_then(|hold| self.order_of(shop, hold));
        match (by_order, by_hold) {
            (Some(order), _) if event.hold.is_some_and(|hold| hold != self.orders[order]) => Resolved::Contradiction,
            (None, Some(_)) if event.order.is_some() => Resolved::Contradiction,
            (Some(order), _) | (None, Some(order)) => Resolved::Order(order),
            (None, None) => Resolved::Missing,
        }
    }

    /// Returns whether the unit of a hold is reserved, and whether it is ordered.
    pub(super) fn is_out(&self, shop: &Shop, hold: usize) -> Option<bool> {
        match shop.holds[hold] {
            Hold::Active | Hold::RunOut => Some(false),
            Hold::Ordered => {
                self.order_of(shop, hold).filter(|&order| shop.orders[order].keeps_its_unit()).map(|_| true)
            }
            Hold::NotTaken | Hold::Released | Hold::Expired => None,
        }
    }

    /// Returns the order that a hold became.
    pub(super) fn order_of(&self, shop: &Shop, hold: usize) -> Option<usize> {
        (0..self.orders.len()).find(|&order| self.orders[order] == hold && shop.orders[order] != Order::Absent)
    }

    /// Returns whether a success names only a hold, and that hold ended without an order.
    pub(super) fn pays_for_an_ended_hold(&self, shop: &Shop, event: &Event) -> bool {
        let (Meaning::Succeeded, None, Some(hold)) = (event.meaning, event.order, event.hold) else { return false };
        match shop.holds[hold] {
            Hold::Released | Hold::Expired => true,
            Hold::RunOut => !self.has(Part::HoldsEndWhenMarked),
            Hold::NotTaken | Hold::Active | Hold::Ordered => false,
        }
    }

    /// Returns the successes of a charge in the inbox, with their states.
    pub(super) fn successes<'a>(
        &'a self,
        shop: &'a Shop,
        charge: Charge,
    ) -> impl Iterator<Item = (usize, Status)> + 'a {
        let of_charge = move |event: &Event| event.meaning == Meaning::Succeeded && event.charge == charge;
        (0..self.events.len())
            .filter(move |&event| of_charge(&self.events[event]))
            .filter_map(|event| Some((event, shop.status(event)?)))
    }

    /// Returns whether a success of the charge has an outcome.
    pub(super) fn charge_has_its_outcome(&self, shop: &Shop, charge: Charge) -> bool {
        self.successes(shop, charge).any(|(_, status)| status.counts() || status == Status::Quarantined)
    }

    /// Returns whether a parked payment waits for the order.
    pub(super) fn payment_waits_for(&self, shop: &Shop, order: usize) -> bool {
        self.events.iter().enumerate().any(|(number, event)| {
            event.meaning == Meaning::Succeeded
                && shop.status(number) == Some(Status::Parked)
                && self.resolve(shop, event) == Resolved::Order(order)
        })
    }
}
