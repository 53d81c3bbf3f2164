//! Seats of the product, for the scenarios in which it is a ticket type that has some: they change in the transactions that change
//! its reserved units.

use super::scenario::{Part, Scenario};
use super::shop::{Order, Shop};
use super::world::World;

/// The rows of the seats, and what the rows of the holds say about them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Seats {
    /// For each seat that is not free, its hold, and whether it is sold.
    owners: Vec<Option<(usize, bool)>>,
    /// The seat that each hold was given, which its row keeps.
    given: Vec<Option<usize>>,
}

impl Seats {
    /// Returns so many seats, of which the first holds have one each.
    pub(super) fn opening(seats: usize, holds: usize, taken: usize) -> Self {
        let owners = (0..seats).map(|seat| (seat < taken).then_some((seat, false))).collect();
        Self { owners, given: (0..holds).map(|hold| (hold < taken.min(seats)).then_some(hold)).collect() }
    }
}

impl Scenario {
    /// `UPDATE seats SET hold_id = … WHERE … AND hold_id IS NULL` for a new hold, the count compared.
    pub(super) fn take_seat(&self, world: &mut World, hold: usize, seat: usize) -> bool {
        let seats = &mut world.shop.seats;
        let is_free = seats.owners[seat].is_none();
        if is_free {
            (seats.owners[seat], seats.given[hold]) = (Some((hold, false)), Some(seat));
        }
        is_free
    }

    /// Gives a hold the best seat that is free. Returns false without one; true in a world without seats.
    pub(super) fn take_best_seat(&self, world: &mut World, hold: usize) -> bool {
        match world.shop.seats.owners.iter().position(Option::is_none) {
            Some(seat) => self.take_seat(world, hold, seat),
            None => self.seats == 0,
        }
    }

    /// Puts the unit of a hold back on sale, and its seats.
    pub(super) fn give_back(&self, shop: &mut Shop, hold: usize) {
        shop.give_back(hold);
        if self.has(Part::SeatsComeBack) {
            shop.seats.owners.iter_mut().filter(|owner| matches!(owner, Some((of, _)) if *of == hold)).for_each(
                |owner| {
                    *owner = None;
                },
            );
        }
    }

    /// Gives a hold its seat again for a late payment. Returns whether it was free.
    pub(super) fn take_seat_again(&self, shop: &mut Shop, hold: usize) -> bool {
        let Some(seat) = shop.seats.given[hold] else { return true };
        let fits = shop.seats.owners[seat].is_none() || !self.has(Part::SeatGuard);
        if fits {
            shop.seats.owners[seat] = Some((hold, true));
        }
        fits
    }

    /// Marks the seats of a hold sold.
    pub(super) fn sell_seats(&self, shop: &mut Shop, hold: usize) {
        if self.has(Part::SeatsAreSold) {
            shop.seats.owners.iter_mut().flatten().filter(|(of, _)| *of == hold).for_each(|(_, sold)| *sold = true);
        }
    }
}

/// "The number of seats that are not free and the reserved units of their ticket type are the same at every commit."
pub(super) fn seated(scenario: &Scenario, world: &World) -> bool {
    let shop = &world.shop;
    let agrees = |(seat, (hold, sold)): (usize, (usize, bool))| {
        let order = scenario.order_of(shop, hold).map(|order| shop.orders[order]);
        let is_paid = matches!(order, Some(Order::Paid(_) | Order::Refunded { restocked: false, .. }));
        shop.seats.given[hold] == Some(seat) && scenario.is_out(shop, hold).is_some() && sold == is_paid
    };
    let mut taken = shop.seats.owners.iter().enumerate().filter_map(|(seat, owner)| Some((seat, (*owner)?)));
    let count = taken.clone().count();
    scenario.seats == 0 || (taken.all(agrees) && usize::try_from(shop.reserved) == Ok(count))
}
