//! The protocol, one transaction after the other. The parent module defines what a step is.

use stateright::{Model, Property};

use super::applying::Sight;
use super::properties;
use super::scenario::{Part, Resolved, Scenario};
use super::shop::{Hold, Meaning, Order, Shop, Status};
use super::world::{Caller, Step, Task, World};

impl Model for Scenario {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            shop: self.opening(),
            tasks: Vec::new(),
            deliveries_left: vec![self.deliveries; self.events.len()],
            acknowledged: vec![false; self.events.len()],
            crashes_left: self.crashes,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps_of_holds(world, steps);
        if world.tasks.len() < self.at_once {
            self.steps_that_begin(world, steps);
        }
        if self.limit_comes && world.shop.limit.is_none() {
            steps.push(Step::SetLimit);
        }
        if self.parking_ends {
            steps.extend(self.events_in(world, Status::RefundDue).map(Step::PayBack));
        }
        let mut tasks = world.tasks.clone();
        tasks.dedup();
        steps.extend(tasks.iter().cloned().map(Step::Go));
        if world.crashes_left > 0 && !tasks.is_empty() {
            steps.extend(tasks.into_iter().map(Step::Crash));
            steps.extend((world.tasks.len() > 1).then_some(Step::CrashAll));
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        let possible = match step {
            Step::TakeHold(hold) => self.take(&mut world, hold),
            Step::TakeSeat(hold, seat) => self.take(&mut world, hold) && self.take_seat(&mut world, hold, seat),
            Step::GiveHoldBack(hold) => self.end_hold(&mut world, hold, Hold::Active, Hold::Released),
            Step::ExpireHold(hold) if self.extends => self.find_run_out(&mut world, hold),
            Step::ExpireHold(hold) => self.end_hold(&mut world, hold, Hold::RunOut, Hold::Expired),
            Step::ExtendHold(hold) => self.extend(&mut world, hold),
            Step::Replace(old, new) => self.find_replaced(&mut world, old, new),
            Step::HoldRunsOut(hold) => {
                // only the clock moves, which no lock prevents
                world.shop.holds[hold] = Hold::RunOut;
                true
            }
            Step::Order(order) => self.order(&mut world, order),
            Step::Cancel(order) => self.find_overdue(&mut world, order),
            Step::Deliver(event) => self.deliver(&mut world, event),
            Step::Sweep(event) | Step::Replay(event) => self.claim(&mut world, Caller::Worker, &[event]),
            Step::EndParking(event) => self.find_parked_too_long(&mut world, event),
            Step::SetLimit => {
                world.shop.limit = self.limit;
                true
            }
            Step::Count(hold) => self.find_uncounted(&mut world, hold),
            Step::PayBack(event) => world.shop.shift(event, Status::RefundDue, Status::Refunded),
            Step::Go(task) => {
                world.stop(&task);
                self.go(&mut world, task)
            }
            Step::Crash(task) => {
                world.stop(&task);
                world.crashes_left -= 1;
                true
            }
            Step::CrashAll => {
                world.tasks.clear();
                world.crashes_left -= 1;
                true
            }
        };
        (possible && world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

/// The steps that may be tried. Guards and locks decide then whether a step is possible.
impl Scenario {
    fn steps_of_holds(&self, world: &World, steps: &mut Vec<Step>) {
        for (hold, state) in world.shop.holds.iter().enumerate() {
            match state {
                Hold::NotTaken if self.seats > 0 => {
                    steps.extend((0..self.seats).map(|seat| Step::TakeSeat(hold, seat)));
                }
                Hold::NotTaken => steps.push(Step::TakeHold(hold)),
                Hold::Active if self.holds_end => {
                    steps.extend([Step::GiveHoldBack(hold), Step::HoldRunsOut(hold)]);
                    steps.extend(self.extends.then_some(Step::ExtendHold(hold)));
                }
                Hold::RunOut => steps.push(Step::ExpireHold(hold)),
                Hold::Active | Hold::Ordered | Hold::Released | Hold::Expired => {}
            }
        }
    }

    fn steps_that_begin(&self, world: &World, steps: &mut Vec<Step>) {
        let holds_in = |state: Hold| (0..self.holds).filter(move |&hold| world.shop.holds[hold] == state);
        if self.replaces {
            let pairs = holds_in(Hold::Active).flat_map(|old| holds_in(Hold::NotTaken).map(move |new| (old, new)));
            steps.extend(pairs.map(|(old, new)| Step::Replace(old, new)));
        }
        let in_state = |state: Order| (0..self.orders.len()).filter(move |&order| world.shop.orders[order] == state);
        steps.extend(in_state(Order::Absent).map(Step::Order));
        if self.orders_end {
            steps.extend(in_state(Order::Pending).map(Step::Cancel));
        }
        steps.extend((0..self.events.len()).filter(|&event| world.deliveries_left[event] > 0).map(Step::Deliver));
        if self.has(Part::Sweep) {
            let found = |&event: &usize| self.sweepable(&world.shop, event);
            steps.extend((0..self.events.len()).filter(found).map(Step::Sweep));
        }
        if self.limit_comes && world.shop.limit.is_some() {
            let uncounted = |&hold: &usize| !world.shop.marks[hold] && self.is_out(&world.shop, hold).is_some();
            steps.extend((0..self.holds).filter(uncounted).map(Step::Count));
        }
        if self.parking_ends {
            steps.extend(self.events_in(world, Status::Parked).map(Step::EndParking));
            steps.extend(self.events_in(world, Status::Dead).map(Step::Replay));
        }
    }

    fn events_in<'a>(&self, world: &'a World, status: Status) -> impl Iterator<Item = usize> + use<'a> {
        let inbox = world.shop.inbox.iter().enumerate();
        inbox.filter(move |(_, row)| row.is_some_and(|row| row.status == status)).map(|(event, _)| event)
    }
}

/// The steps of external actors and of workers. Each returns whether it is possible now.
impl Scenario {
    fn take(&self, world: &mut World, hold: usize) -> bool {
        world.shop.holds[hold] = Hold::Active;
        world.shop.count(hold, true) && world.shop.reserve(true)
    }

    /// One guarded update: the transaction that changes the row gives the unit back.
    fn end_hold(&self, world: &mut World, hold: usize, from: Hold, to: Hold) -> bool {
        let ours = world.shop.holds[hold] == from && !world.hold_is_locked(self, hold);
        if ours {
            world.shop.holds[hold] = to;
            self.give_back(&mut world.shop, hold);
        }
        ours
    }

    /// A worker's look: only the mark that follows decides.
    fn find_run_out(&self, world: &mut World, hold: usize) -> bool {
        let task = Task::Expiring { hold };
        let ours = world.tasks.len() < self.at_once && !world.tasks.contains(&task);
        if ours {
            world.start(task);
        }
        ours
    }

    /// A read before the packet, which decides nothing.
    fn find_replaced(&self, world: &mut World, old: usize, new: usize) -> bool {
        let task = Task::Replacing { old, new };
        let ours = !world.tasks.contains(&task);
        if ours {
            world.start(task);
        }
        ours
    }

    /// The guard on the deadline is evaluated here; the commit comes later.
    fn extend(&self, world: &mut World, hold: usize) -> bool {
        let ours = world.tasks.len() < self.at_once && !world.hold_is_locked(self, hold);
        if ours {
            world.start(Task::Extending { hold });
        }
        ours
    }

    /// The unique keys and the guard on the hold are evaluated here; the commit comes later.
    fn order(&self, world: &mut World, order: usize) -> bool {
        let hold = self.orders[order];
        let ours = world.shop.holds[hold] == Hold::Active && !world.hold_is_locked(self, hold);
        if ours {
            world.start(Task::Placing { order });
        }
        ours
    }

    /// Any number of workers may find the same hold.
    fn find_uncounted(&self, world: &mut World, hold: usize) -> bool {
        let Some(ordered) = self.is_out(&world.shop, hold) else { return false };
        world.start(Task::Counting { hold, ordered });
        true
    }

    fn find_overdue(&self, world: &mut World, order: usize) -> bool {
        let waits = self.has(Part::PaymentsGoFirst) && self.payment_waits_for(&world.shop, order);
        let task = Task::Cancelling { order };
        let ours = !waits && !world.tasks.contains(&task);
        if ours {
            world.start(task);
        }
        ours
    }

    /// A copy waits while another delivery has the unique key, and then gets the stored outcome.
    fn deliver(&self, world: &mut World, event: usize) -> bool {
        if world.event_is_locked(event) {
            return false;
        }
        world.deliveries_left[event] -= 1;
        match world.shop.status(event) {
            None => self.receive(world, event),
            Some(Status::Parked) if self.has(Part::WebhookLooksAgain) => {
                world.start(Task::Looking { caller: Caller::Delivery(event) });
                true
            }
            Some(_) => {
                world.acknowledged[event] = true;
                true
            }
        }
    }

    /// Begins the first transaction of a delivery. If a payment waits for the order, the delivery applies that first and
    /// then begins again.
    fn receive(&self, world: &mut World, event: usize) -> bool {
        if !self.has(Part::AnswersFollowCommits) {
            world.acknowledged[event] = true;
        }
        world.start(match self.look(&world.shop, event) {
            Sight::PaymentWaits if self.has(Part::WebhookLooksAgain) => {
                Task::Looking { caller: Caller::Delivery(event) }
            }
            saw => Task::Receiving { event, saw },
        });
        true
    }

    fn find_parked_too_long(&self, world: &mut World, event: usize) -> bool {
        let alone = match self.events[event].meaning {
            Meaning::Refunded { .. } => !self.charge_has_its_outcome(&world.shop, self.events[event].charge),
            _ => self.resolve(&world.shop, &self.events[event]) == Resolved::Missing,
        };
        let task = Task::EndingParking { event };
        let ours = alone && !world.tasks.contains(&task);
        if ours {
            world.start(task);
        }
        ours
    }
}

/// The transactions of a task.
impl Scenario {
    fn go(&self, world: &mut World, task: Task) -> bool {
        match task {
            Task::Receiving { event, saw } => self.commit_received(world, event, saw),
            Task::Placing { order } => self.commit_order(world, order),
            Task::Looking { caller } => self.list_waiting(world, caller),
            Task::Waking { caller, waiting } => self.claim(world, caller, &waiting),
            Task::Applying { caller, event, saw, waiting } => self.commit_applied(world, caller, event, saw, waiting),
            Task::Cancelling { order } => {
                self.cancel(&mut world.shop, order);
                true
            }
            Task::Extending { hold } => {
                world.shop.holds[hold] = Hold::Active;
                true
            }
            Task::Replacing { old, new } => self.commit_replaced(world, old, new),
            Task::Expiring { hold } => self.mark_expired(world, hold),
            Task::EndingParking { event } => self.commit_parking_ended(world, event),
            Task::Counting { hold, ordered } => self.commit_count(world, hold, ordered),
        }
    }

    /// The guard on the mark and on the state of the hold, and the lock of its order.
    fn commit_count(&self, world: &mut World, hold: usize, ordered: bool) -> bool {
        if world.hold_is_locked(self, hold) {
            return false;
        }
        let is_same = !world.shop.marks[hold] && self.is_out(&world.shop, hold) == Some(ordered);
        if is_same || !self.has(Part::MarkGuard) {
            world.shop.count(hold, false);
        }
        true
    }

    fn commit_received(&self, world: &mut World, event: usize, saw: Sight) -> bool {
        if saw == Sight::PaymentWaits {
            // no task has applied the waiting payment: roll back, and begin again
            return self.receive(world, event);
        }
        let status = self.apply(&mut world.shop, event, saw);
        world.shop.insert(event, status);
        let others_may_wait = status == Status::Parked || self.events[event].meaning == Meaning::Succeeded;
        if others_may_wait && self.has(Part::WebhookLooksAgain) {
            world.start(Task::Looking { caller: Caller::Delivery(event) });
            return true;
        }
        self.answer(world, Caller::Delivery(event))
    }

    /// One packet: the old hold goes back and the new one is taken, or nothing happens.
    fn commit_replaced(&self, world: &mut World, old: usize, new: usize) -> bool {
        if world.hold_is_locked(self, old) {
            return false;
        }
        let (before, shop) = (world.shop.clone(), &mut world.shop);
        let is_active = shop.holds[old] == Hold::Active || !self.has(Part::ReplaceGuard);
        if !is_active || shop.holds[new] != Hold::NotTaken {
            return true;
        }
        shop.holds[old] = Hold::Released;
        self.give_back(shop, old);
        shop.holds[new] = Hold::Active;
        if !shop.count(new, true) || !shop.reserve(true) || !self.take_best_seat(world, new) {
            world.shop = before;
        }
        true
    }

    /// The mark waits for a transaction that changes the hold. If its guard misses, the worker reads again.
    fn mark_expired(&self, world: &mut World, hold: usize) -> bool {
        if world.hold_is_locked(self, hold) {
            return false;
        }
        let is_active = world.shop.holds[hold] == Hold::Active && !self.has(Part::DeadlineGuard);
        if is_active || world.shop.holds[hold] == Hold::RunOut {
            world.shop.ended_early |= is_active;
            world.shop.holds[hold] = Hold::Expired;
            self.give_back(&mut world.shop, hold);
        }
        true
    }

    fn commit_order(&self, world: &mut World, order: usize) -> bool {
        world.shop.orders[order] = Order::Pending;
        world.shop.holds[self.orders[order]] = Hold::Ordered;
        if self.has(Part::OrderLooksAgain) {
            world.start(Task::Looking { caller: Caller::Request(order) });
        }
        true
    }

    /// One read; it lists the successes first.
    fn list_waiting(&self, world: &mut World, caller: Caller) -> bool {
        let concerns = |&event: &usize| self.ready(&world.shop, event) && self.concerns(&world.shop, event, caller);
        let mut waiting: Vec<usize> = (0..self.events.len()).filter(concerns).collect();
        waiting.sort_by_key(|&event| self.events[event].meaning);
        self.go_on(world, caller, waiting)
    }

    /// Begins the transaction that applies the first of these. It waits while another transaction has the event's row.
    fn claim(&self, world: &mut World, caller: Caller, waiting: &[usize]) -> bool {
        let [event, waiting @ ..] = waiting else { return self.answer(world, caller) };
        if self.has(Part::Claim) && world.event_is_locked(*event) {
            return false;
        }
        if self.has(Part::Claim) && !self.waits(&world.shop, *event) && caller != Caller::Worker {
            return self.go_on(world, caller, waiting.to_vec());
        }
        let saw = self.look(&world.shop, *event);
        world.start(Task::Applying { caller, event: *event, saw, waiting: waiting.to_vec() });
        true
    }

    fn commit_applied(&self, world: &mut World, caller: Caller, event: usize, saw: Sight, waiting: Vec<usize>) -> bool {
        let status = self.apply(&mut world.shop, event, saw);
        if status == Status::Parked {
            return self.go_on(world, caller, waiting);
        }
        world.shop.settle(event, status);
        // a refund may have waited for this very success
        if self.events[event].meaning == Meaning::Succeeded && caller != Caller::Worker {
            world.start(Task::Looking { caller });
            return true;
        }
        self.go_on(world, caller, waiting)
    }

    fn go_on(&self, world: &mut World, caller: Caller, waiting: Vec<usize>) -> bool {
        if waiting.is_empty() {
            return self.answer(world, caller);
        }
        world.start(Task::Waking { caller, waiting });
        true
    }

    fn answer(&self, world: &mut World, caller: Caller) -> bool {
        let Caller::Delivery(event) = caller else { return true };
        if world.shop.inbox[event].is_none() {
            // the delivery has applied a payment first; it begins again unless another delivery has the unique key
            return !world.event_is_locked(event) && self.receive(world, event);
        }
        world.acknowledged[event] = true;
        true
    }

    fn commit_parking_ended(&self, world: &mut World, event: usize) -> bool {
        let to = match self.events[event].meaning {
            Meaning::Succeeded if self.counted_before(&world.shop, event) => Status::Ignored,
            Meaning::Succeeded => Status::RefundDue,
            Meaning::Failed | Meaning::Refunded { .. } => Status::Dead,
        };
        if world.event_is_locked(event) {
            return false;
        }
        world.shop.shift(event, Status::Parked, to);
        true
    }
}

/// The conditions of the statements that look for waiting events.
impl Scenario {
    /// Returns whether an event has no outcome yet.
    fn waits(&self, shop: &Shop, event: usize) -> bool {
        let refund = matches!(self.events[event].meaning, Meaning::Refunded { .. });
        match shop.status(event) {
            Some(Status::Parked) => true,
            Some(Status::Dead) => refund && self.has(Part::DeadRefundsWake),
            _ => false,
        }
    }

    /// Returns whether a waiting event can be applied.
    fn ready(&self, shop: &Shop, number: usize) -> bool {
        let event = &self.events[number];
        self.waits(shop, number)
            && match event.meaning {
                Meaning::Refunded { .. } if self.has(Part::DueChargesWakeRefunds) => {
                    self.charge_has_its_outcome(shop, event.charge)
                }
                Meaning::Refunded { .. } => shop.orders.contains(&Order::Paid(event.charge)),
                _ => self.resolve(shop, event) != Resolved::Missing,
            }
    }

    pub(super) fn sweepable(&self, shop: &Shop, number: usize) -> bool {
        let event = &self.events[number];
        let waits = self.waits(shop, number);
        waits
            && self.look(shop, number) != Sight::PaymentWaits
            && (self.ready(shop, number) || self.pays_for_an_ended_hold(shop, event))
    }

    /// Returns whether a caller applies this waiting event.
    fn concerns(&self, shop: &Shop, number: usize, caller: Caller) -> bool {
        let event = &self.events[number];
        match caller {
            Caller::Worker => false,
            Caller::Request(order) => {
                self.resolve(shop, event) == Resolved::Order(order) || event.hold == Some(self.orders[order])
            }
            Caller::Delivery(own) => {
                let own = &self.events[own];
                let order = self.resolve(shop, own);
                own.charge == event.charge || (order == self.resolve(shop, event) && order != Resolved::Missing)
            }
        }
    }
}
