//! The table "Events and their effects" of docs/payments.md, for one hold, its order and one product, step by step in memory. It
//! shares no code with the service.

use std::collections::BTreeMap;

use super::steps::{By, Event, Meaning, Step};

/// Number of units in the hold until it keeps fewer, and in the hold of every rival.
pub(super) const QTY: i64 = 2;
/// Total of the order of so many units, in cents.
pub(super) const TOTAL: i64 = QTY * PRICE;
const PRICE: i64 = 4999;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Charge {
    /// The key of the success that owns it.
    pub(super) owner: String,
    pub(super) status: String,
    pub(super) amount: Option<i64>,
    pub(super) refunded: i64,
    pub(super) restock: bool,
    /// Whether its order is known, and whether its hold is.
    pub(super) knows: (bool, bool),
}

/// The state that is compared at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) hold: String,
    /// State, refunded amount, and whether the units were restocked.
    pub(super) order: Option<(String, i64, bool)>,
    /// Each transition, with the key of the event that caused it.
    pub(super) trail: Vec<String>,
    /// By key: state, and number of deliveries.
    pub(super) events: BTreeMap<String, (String, i64)>,
    /// By name; a charge without a name has a `~` and its owner's key.
    pub(super) charges: BTreeMap<String, Charge>,
    /// Units of its product, and of the second product of a cart.
    pub(super) reserved: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct World {
    pub(super) state: State,
    stock: i64,
    /// Whether the units are seats, of which a hold keeps all.
    is_seated: bool,
    /// Number of units in the hold, and of the second product if the hold is a cart.
    units: (i64, i64),
    /// In the order of receipt.
    inbox: Vec<Event>,
    /// For each hold of a rival, whether it has run out.
    rivals: Vec<bool>,
    hold_ran_out: bool,
    order_ran_out: bool,
}

impl World {
    /// A world with the hold and nothing else. A cart has a unit of a second product, which is free and which no rival wants. Of seats,
    /// all want the same ones, as if there were no others.
    pub(super) fn new(stock: i64, is_cart: bool, is_seated: bool) -> Self {
        let units = (QTY, i64::from(is_cart));
        let stock = if is_seated { QTY } else { stock };
        let (trail, events, charges) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let state = State { hold: "active".into(), order: None, trail, events, charges, reserved: units };
        let (inbox, rivals) = (Vec::new(), Vec::new());
        Self { state, stock, is_seated, units, inbox, rivals, hold_ran_out: false, order_ran_out: false }
    }

    /// Takes one step and returns its answer, which is empty for a step that is no request.
    pub(super) fn take(&mut self, step: &Step) -> String {
        let status = self.status();
        let answer = match (step, status.as_deref()) {
            (Step::Order, _) => return self.make_order(),
            (Step::Deliver(event), _) => return self.deliver(event),
            (Step::Cancel, None) => "404 order_not_found",
            (Step::Cancel, Some("paid" | "refunded")) => "409 order_paid",
            (Step::Cancel, Some(status)) => {
                if status == "pending" {
                    self.cancel(":buyer_cancelled");
                }
                "200 cancelled"
            }
            (Step::Release, _) => match self.state.hold.as_str() {
                "ordered" => "409 hold_used",
                "expired" => "200 expired",
                "active" if self.hold_ran_out => "200 expired",
                hold => {
                    self.end_hold(hold == "active", "released");
                    "200 released"
                }
            },
            (Step::Reduce | Step::ExtendHold, _) => self.change_hold(step),
            (Step::ExtendOrder, None) => "404 order_not_found",
            (Step::ExtendOrder, Some("pending")) if self.order_ran_out => "409 order_overdue",
            (Step::ExtendOrder, Some("pending")) => "200 pending",
            (Step::ExtendOrder, Some("cancelled")) => "409 order_cancelled",
            (Step::ExtendOrder, Some(_)) => "409 order_paid",
            (Step::Rival, _) if self.reserve((QTY, 0)) => {
                self.rivals.push(false);
                "201 active"
            }
            (Step::Rival, _) => "409",
            (Step::HoldRunsOut, _) => {
                self.hold_ran_out |= self.state.hold == "active";
                ""
            }
            (Step::RivalsRunOut, _) => {
                self.rivals.fill(true);
                ""
            }
            (Step::OrderRunsOut, _) => {
                self.order_ran_out |= status.as_deref() == Some("pending");
                ""
            }
            (Step::ExpireHolds, _) => {
                self.expire();
                ""
            }
            (Step::CancelOverdue, Some("pending")) if self.order_ran_out => {
                self.cancel(":payment_overdue");
                ""
            }
            (Step::CancelOverdue, _) => "",
            (Step::Sweep, _) => {
                self.sweep();
                ""
            }
            (Step::GiveUp, _) => {
                self.give_up();
                ""
            }
        };
        answer.to_owned()
    }

    fn status(&self) -> Option<String> {
        self.state.order.as_ref().map(|order| order.0.clone())
    }

    /// Leaves the hold with one unit, or with more time, and returns the answer.
    fn change_hold(&mut self, step: &Step) -> &'static str {
        match self.ended() {
            Some(refusal) => refusal,
            None if self.is_seated && *step == Step::Reduce => "422 invalid_change",
            None => {
                if *step == Step::Reduce {
                    self.give_back((self.units.0 - 1, 0));
                    self.units.0 = 1;
                }
                "200 active"
            }
        }
    }

    /// Returns the refusal of what only an active hold allows.
    fn ended(&self) -> Option<&'static str> {
        match self.state.hold.as_str() {
            "ordered" => Some("409 hold_used"),
            "released" => Some("409 hold_released"),
            "active" if !self.hold_ran_out => None,
            _ => Some("409 hold_expired"),
        }
    }

    fn total(&self) -> i64 {
        self.units.0 * PRICE
    }

    /// Makes the order if the hold is active; then waiting events take effect.
    fn make_order(&mut self) -> String {
        if let Some(refusal) = self.ended() {
            return refusal.to_owned();
        }
        self.state.hold = "ordered".to_owned();
        self.state.order = Some(("pending".to_owned(), 0, false));
        self.state.trail.push(">pending:created".to_owned());
        self.wake((true, true));
        format!("201 {}", self.status().expect("the order was just made"))
    }

    fn change(&mut self, to: &str, reason: &str) {
        let order = self.state.order.as_mut().expect("there is an order");
        self.state.trail.push(format!("{}>{to}{reason}", order.0));
        order.0 = to.to_owned();
    }

    fn cancel(&mut self, reason: &str) {
        self.change("cancelled", reason);
        self.give_back(self.units);
    }

    /// Puts units back on sale.
    fn give_back(&mut self, units: (i64, i64)) {
        self.state.reserved.0 -= units.0;
        self.state.reserved.1 -= units.1;
    }

    fn end_hold(&mut self, ends: bool, status: &str) {
        if ends {
            self.state.hold = status.to_owned();
            self.give_back(self.units);
        }
    }

    /// Puts units whose holds have run out back on sale.
    fn expire(&mut self) {
        self.end_hold(self.state.hold == "active" && self.hold_ran_out, "expired");
        let before = self.rivals.len() as i64;
        self.rivals.retain(|ran_out| !ran_out);
        self.give_back((QTY * (before - self.rivals.len() as i64), 0));
    }

    /// Reserves units if there are enough once the holds that have run out are expired.
    fn reserve(&mut self, units: (i64, i64)) -> bool {
        if self.stock - self.state.reserved.0 < units.0 {
            self.expire();
        }
        let fits = self.stock - self.state.reserved.0 >= units.0;
        if fits {
            self.give_back((-units.0, -units.1));
        }
        fits
    }

    fn deliver(&mut self, event: &Event) -> String {
        if let Some(known) = self.inbox.iter().find(|known| known.key == event.key).copied() {
            if known != (Event { restock: known.restock, ..*event }) {
                return "422 idempotency_key_reuse".to_owned();
            }
            let kept = self.state.events.get_mut(event.key).expect("the event is known");
            kept.1 += 1;
            let answer = format!("200 duplicate {}", kept.0);
            return self.with_order(event, answer);
        }
        self.inbox.push(*event);
        self.state.events.insert(event.key.to_owned(), ("parked".to_owned(), 1));
        self.settle(event);
        // others may wait for this event, or it may have come together with the one that it waits for
        let took_money = event.meaning == Meaning::Succeeded && matches!(self.outcome(event), "applied" | "refund_due");
        if took_money || self.outcome(event) == "parked" {
            self.wake(self.knows(event));
        }
        let answer = match self.outcome(event) {
            "applied" => "200 processed",
            "ignored" => "200 ignored",
            "refund_due" | "refunded" => "200 refund_due",
            "parked" => "202 pending_order",
            _ => "200 quarantined",
        };
        self.with_order(event, answer.to_owned())
    }

    fn with_order(&self, event: &Event, answer: String) -> String {
        match self.status().filter(|_| event.by != By::Stranger) {
            Some(status) => format!("{answer} {status}"),
            None => answer,
        }
    }

    fn outcome(&self, event: &Event) -> &str {
        &self.state.events[event.key].0
    }

    fn set(&mut self, key: &str, status: &str) {
        self.state.events.get_mut(key).expect("the event is known").0 = status.to_owned();
    }

    /// Whether an event names the order, and whether it names the hold. Once the order exists, one name leads to the other.
    fn knows(&self, event: &Event) -> (bool, bool) {
        let known = self.state.order.is_some() && event.by != By::Stranger;
        (known || event.by != By::Hold, known || matches!(event.by, By::Hold | By::Both))
    }

    /// Applies events that wait under these names for an order or charge that exists: successes, then failures, then refunds.
    fn wake(&mut self, names: (bool, bool)) {
        let waiting = self.waiting();
        for event in &waiting {
            self.wake_one(event, names);
        }
        // refunds that were given up and count again for one of their charges
        for event in self.waiting().iter().filter(|event| !waiting.contains(event)) {
            self.wake_one(event, names);
        }
    }

    fn wake_one(&mut self, event: &Event, names: (bool, bool)) {
        let named = names.0 && event.by != By::Hold || names.1 && matches!(event.by, By::Hold | By::Both);
        if named && (self.state.order.is_some() || event.meaning == Meaning::Refunded) {
            self.settle(event);
        }
    }

    /// Applies waiting events under any name, and successes whose hold has ended since.
    fn sweep(&mut self) {
        for _ in 0..2 {
            for event in self.waiting() {
                self.settle(&event);
            }
        }
    }

    fn waiting(&self) -> Vec<Event> {
        let mut waiting = self.inbox.clone();
        waiting.retain(|event| self.outcome(event) == "parked" || self.comes_back(event));
        waiting.sort_by_key(|event| event.meaning as u8);
        waiting
    }

    /// Whether a refund that was given up counts after all, because its charge has come.
    fn comes_back(&self, event: &Event) -> bool {
        let given_up = event.meaning == Meaning::Refunded && self.outcome(event) == "dead";
        let its_charge = |(name, charge): (&String, &Charge)| match event.txn {
            Some(txn) => name == txn,
            None => belongs(charge, self.knows(event)),
        };
        given_up && self.state.charges.iter().any(its_charge)
    }

    /// Removes the parked events as if they had not been delivered yet; returns each with the number of its deliveries.
    pub(super) fn recall(&mut self) -> Vec<(Event, i64)> {
        let waiting: Vec<Event> = self.waiting().into_iter().filter(|event| self.outcome(event) == "parked").collect();
        self.inbox.retain(|event| !waiting.contains(event));
        let forget = |event: Event| (event, self.state.events.remove(event.key).expect("the event is known").1);
        waiting.into_iter().map(forget).collect()
    }

    /// Ends the wait of all events: successes are due for refund, their refunds are applied, and the others are dead.
    fn give_up(&mut self) {
        self.sweep();
        for event in self.waiting().iter().filter(|event| event.meaning == Meaning::Succeeded) {
            let outcome = self.own(event, "refund_due", event.amount);
            self.set(event.key, outcome);
        }
        self.sweep();
        for event in self.waiting() {
            self.set(event.key, "dead");
        }
    }

    fn settle(&mut self, event: &Event) {
        let outcome = match (self.status(), event.meaning) {
            (Some(_), _) if event.by == By::Stranger => "quarantined",
            (Some(status), Meaning::Succeeded) => self.succeed(event, &status),
            (Some(status), Meaning::Failed) => self.fail(event, &status),
            (None, Meaning::Succeeded) if self.knows(event).1 && self.hold_ended() => {
                self.end_hold(self.state.hold == "active", "expired");
                self.own(event, "refund_due", event.amount)
            }
            (None, Meaning::Succeeded | Meaning::Failed) => "parked",
            (_, Meaning::Refunded) => self.refund(event),
        };
        self.set(event.key, outcome);
    }

    fn hold_ended(&self) -> bool {
        self.hold_ran_out && self.state.hold == "active" || matches!(self.state.hold.as_str(), "released" | "expired")
    }

    fn succeed(&mut self, event: &Event, status: &str) -> &'static str {
        if event.amount.is_some_and(|amount| amount != self.total()) {
            return "quarantined";
        }
        let paid = matches!(status, "paid" | "refunded");
        if paid && event.txn.is_none() {
            return "ignored";
        }
        if event.txn.is_some_and(|name| self.state.charges.contains_key(name)) {
            return "ignored";
        }
        if paid || status == "cancelled" && !self.reserve(self.units) {
            return self.own(event, "refund_due", Some(self.total()));
        }
        self.change("paid", &format!(":payment_succeeded:{}", event.key));
        self.own(event, "paid", Some(self.total()))
    }

    /// Records a charge. It counts once; the first success that names it owns it.
    fn own(&mut self, event: &Event, status: &str, amount: Option<i64>) -> &'static str {
        let name = event.txn.map_or_else(|| format!("~{}", event.key), str::to_owned);
        let knows = self.knows(event);
        if let Some(charge) = self.state.charges.get(&name) {
            return if belongs(charge, knows) { "ignored" } else { "quarantined" };
        }
        let (owner, status) = (event.key.to_owned(), status.to_owned());
        let outcome = if status == "paid" { "applied" } else { "refund_due" };
        self.state.charges.insert(name, Charge { owner, status, amount, refunded: 0, restock: false, knows });
        outcome
    }

    fn fail(&mut self, event: &Event, status: &str) -> &'static str {
        if event.amount.is_some_and(|amount| amount != self.total()) {
            return "quarantined";
        }
        if status != "pending" {
            return "ignored";
        }
        self.cancel(&format!(":payment_failed:{}", event.key));
        "applied"
    }

    fn refund(&mut self, event: &Event) -> &'static str {
        let knows = self.knows(event);
        let of_us = self.state.charges.iter().filter(|(_, charge)| belongs(charge, knows));
        let (open, known): (Vec<_>, Vec<_>) = of_us.partition(|(_, charge)| charge.status != "refunded");
        let name = match (event.txn, open.as_slice()) {
            (Some(name), _) => name.to_owned(),
            (None, [(name, _)]) => (*name).clone(),
            (None, []) => return if known.is_empty() { "parked" } else { "ignored" },
            (None, _) => return "quarantined",
        };
        let Some(charge) = self.state.charges.get_mut(&name) else { return "parked" };
        let refunded = match event.amount {
            Some(part) => charge.refunded + part,
            None => charge.amount.unwrap_or(charge.refunded),
        };
        match charge.status.as_str() {
            _ if !belongs(charge, knows) => return "quarantined",
            "refunded" => return "ignored",
            _ if charge.amount.is_some_and(|all| refunded > all) => return "quarantined",
            _ => {}
        }
        let (whole, pays) = (event.amount.is_none() || charge.amount == Some(refunded), charge.status == "paid");
        charge.refunded = refunded;
        charge.restock |= event.restock;
        if whole {
            charge.status = "refunded".to_owned();
        }
        let (owner, restocks) = (charge.owner.clone(), whole && charge.restock);
        match (pays, whole) {
            (true, _) => self.refund_order(event, refunded, whole, restocks),
            (false, true) => self.set(&owner, "refunded"),
            (false, false) => {}
        }
        "applied"
    }

    /// Records a refund of the charge that paid the order.
    fn refund_order(&mut self, event: &Event, refunded: i64, whole: bool, restocks: bool) {
        let (to, reason) = if whole { ("refunded", "payment_refunded") } else { ("paid", "payment_part_refunded") };
        self.change(to, &format!(":{reason}:{}", event.key));
        let order = self.state.order.as_mut().expect("the order was paid");
        (order.1, order.2) = (refunded, restocks);
        if restocks {
            self.give_back(self.units);
        }
    }
}

fn belongs(charge: &Charge, knows: (bool, bool)) -> bool {
    charge.knows.0 && knows.0 || charge.knows.1 && knows.1
}
