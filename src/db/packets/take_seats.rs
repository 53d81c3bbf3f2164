//! A packet that takes a batch of carts with seats, in two round trips of one transaction. The first one reserves the units of all
//! carts, which locks the ticket types, and reads what is free. Then seats are assigned in the order of arrival. The second one
//! writes the holds of the carts that got their seats, gives these to them, and puts the units of the others back on sale.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::counters::{Counted, LimitPass};
use super::keys::Keys;
use super::seat_cart::{SeatCart, Wanted, line_of, taken_seats};
use super::take_carts::{Cart, TakeCarts, TakenCarts, left};
use super::{BOUND, Packet};
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard::exactly;
use crate::db::tables::holds::{self, sum};
use crate::db::tables::{owners, products, seats};
use crate::domain::seating::{FreeSeats, SeatPlan};
use crate::domain::{Details, Refusal, RefusedLine, SeatRefusal};

/// What a seat adds to the packet at most, in bytes: its label, its number twice, and its hold.
pub const SEAT_BYTES: usize = 2 * 249 + 2 * 12 + 36;
/// How many free seats are read at least where requests want several of the best ones beside each other.
const LEAST_READ: u64 = 256;
/// How many free seats are read for each that these want.
const READ_EACH: u64 = 8;

/// What the carts that are taken write beside their lines.
pub trait Rest: Sync {
    /// Returns what these holds add to counters.
    fn counted(&self, holds: &HashSet<Uuid>) -> Counted;
    /// Returns the keys of the requests for these holds, and those of all copies.
    fn keys(&self, holds: &HashSet<Uuid>) -> Keys<'_>;
    /// Returns the owners of these holds, sorted by id.
    fn owners(&self, holds: &HashSet<Uuid>) -> Vec<(Uuid, Arc<Details>)>;
}

/// A batch of carts with seats.
pub struct TakeSeats<'a> {
    /// In order of arrival; at least one.
    pub carts: Vec<SeatCart>,
    /// The plans of all ticket types whose seats they want.
    pub plans: BTreeMap<i64, Arc<SeatPlan>>,
    /// The lines of the hold that they replace, as they were read before, sorted. Only a cart that is alone replaces one.
    pub replaced: Vec<holds::Counted>,
    /// What else is written.
    pub rest: &'a dyn Rest,
}

/// The result of the packet.
#[derive(Debug)]
pub struct TakenSeats {
    /// As of a batch of carts.
    pub taken: TakenCarts,
    /// The carts that were taken, with the seats of their lines.
    pub carts: HashMap<Uuid, Cart>,
    /// Why the others were not, by hold.
    pub refused: HashMap<Uuid, Refusal>,
}

/// What the carts get of what is free.
#[derive(Default)]
struct Assigned {
    carts: Vec<Cart>,
    /// The seats that holds get, by ticket type.
    seats: BTreeMap<i64, BTreeMap<i64, Uuid>>,
    refused: HashMap<Uuid, Refusal>,
    /// The units of refused carts, by product.
    given_back: BTreeMap<i64, i64>,
}

/// The free seats of a ticket type, as they are read.
struct Look {
    product_id: i64,
    statement: String,
    /// How many rows it returns at most, if only the best are read.
    limit: Option<u64>,
}

/// Returns how many free seats are read for lines of so many seats. The last row that is read may lack some of its seats, so that it is
/// not counted on: the others have a seat for each line of one.
fn most_read(plan: &SeatPlan, units: &[u64]) -> u64 {
    let wanted: u64 = units.iter().sum();
    let singles = plan.longest_row() as u64 + wanted;
    if units.iter().all(|&units| units == 1) { singles } else { singles.max(LEAST_READ).max(READ_EACH * wanted) }
}

impl TakeSeats<'_> {
    /// Returns the batch as if all carts got their seats.
    fn all(&self) -> TakeCarts<'static> {
        let carts = self.carts.iter().map(|cart| cart.cart.clone()).collect();
        TakeCarts {
            carts,
            owners: Vec::new(),
            replaced: self.replaced.clone(),
            counted: Counted::default(),
            keys: Keys::default(),
        }
    }

    /// Returns how the free seats of each ticket type are read: those that are named, or the best, or, where carts want both, all.
    fn looks(&self) -> Vec<Look> {
        let mut named: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut best: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for SeatCart { cart, wanted } in &self.carts {
            for (product_id, wanted) in wanted {
                match wanted {
                    Wanted::Named(seats) => named.entry(*product_id).or_default().extend(seats),
                    Wanted::Best { .. } => {
                        let lines = cart.lines.iter().filter(|line| line.product_id == *product_id);
                        best.entry(*product_id).or_default().extend(lines.map(|line| line.qty.unsigned_abs()));
                    }
                }
            }
        }
        let look = |&product_id: &i64| match (named.get(&product_id), best.get(&product_id)) {
            (Some(seats), None) => {
                Look { product_id, statement: seats::list_free_some(product_id, seats), limit: None }
            }
            (None, Some(units)) => {
                let limit = self.plans.get(&product_id).map_or(u64::MAX, |plan| most_read(plan, units));
                Look { product_id, statement: seats::list_free(product_id, limit), limit: Some(limit) }
            }
            _ => Look { product_id, statement: seats::list_free(product_id, u64::MAX), limit: None },
        };
        self.plans.keys().map(look).collect()
    }

    /// Reserves the units of all carts, and reads what is free.
    async fn first(&self, tx: &mut Tx<'_>) -> Result<Assigned, Failure> {
        let (all, looks) = (self.all(), self.looks());
        let units = all.units();
        let mut statements: Vec<String> = all.release().into_iter().flatten().collect();
        statements.extend(all.give_back(&units));
        statements.extend(all.give_back_seats());
        statements.push(products::take_all(&units));
        statements.extend(looks.iter().map(|look| look.statement.clone()));
        let mut replies = tx.packet(&statements).await?.into_iter();
        let mut next = || replies.next().ok_or_else(|| Failure::Broken("a reply to a packet is missing".to_owned()));
        if !self.replaced.is_empty() {
            exactly("holds/release_all", next()?.affected, self.replaced.len(), Failure::Stale)?;
            let mut lines = holds::read_counted(&next()?.rows)?;
            lines.sort_unstable();
            if lines != self.replaced {
                return Err(Failure::Stale("holds/list_counted"));
            }
            let products = sum(self.replaced.iter().map(|row| row.units)).len();
            exactly("products/give_back_replaced", next()?.affected, products, Failure::Changed)?;
            all.read_seats(&mut next)?;
        }
        exactly("products/take_all", next()?.affected, units.len(), Failure::Changed)?;
        let mut free = BTreeMap::new();
        for look in &looks {
            free.insert(look.product_id, numbers(next()?)?);
        }
        self.assign_best(tx, &looks, free).await
    }

    /// Assigns the seats; reads all that are free where the best ones do not suffice.
    async fn assign_best(
        &self,
        tx: &mut Tx<'_>,
        looks: &[Look],
        mut free: BTreeMap<i64, Vec<i64>>,
    ) -> Result<Assigned, Failure> {
        let is_cut = |look: &&Look, free: &BTreeMap<i64, Vec<i64>>| {
            look.limit.is_some_and(|limit| free.get(&look.product_id).is_some_and(|rows| rows.len() as u64 >= limit))
        };
        let cut: Vec<i64> = looks.iter().filter(|look| is_cut(look, &free)).map(|look| look.product_id).collect();
        for product_id in &cut {
            if let (Some(plan), Some(rows)) = (self.plans.get(product_id), free.get_mut(product_id)) {
                *rows = plan.whole_rows(std::mem::take(rows));
            }
        }
        let assigned = self.assign(&free, &cut)?;
        if cut.is_empty() || assigned.refused.is_empty() {
            return Ok(assigned);
        }
        let statements: Vec<String> = cut.iter().map(|&product_id| seats::list_free(product_id, u64::MAX)).collect();
        for (product_id, reply) in cut.iter().zip(tx.packet(&statements).await?) {
            free.insert(*product_id, numbers(reply)?);
        }
        self.assign(&free, &[])
    }

    /// Assigns seats to the carts in order of arrival: all that a cart wants, or none. Of a ticket type that is `cut`, whose free seats
    /// were not all read, a cart gets adjacent ones or none: others may be adjacent behind them.
    fn assign(&self, free: &BTreeMap<i64, Vec<i64>>, cut: &[i64]) -> Result<Assigned, Failure> {
        let mut halls: BTreeMap<i64, FreeSeats> = BTreeMap::new();
        for (product_id, plan) in &self.plans {
            let free = free.get(product_id).map(Vec::as_slice).unwrap_or_default();
            halls.insert(*product_id, plan.arrange(free).ok_or(Failure::Changed("seats/list"))?);
        }
        let mut assigned = Assigned::default();
        for SeatCart { cart, wanted } in &self.carts {
            let mut refused: Vec<RefusedLine> = Vec::new();
            let mut got: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for line in &cart.lines {
                let (Some(wanted), Some(hall)) = (wanted.get(&line.product_id), halls.get_mut(&line.product_id)) else {
                    continue;
                };
                let is_cut = cut.contains(&line.product_id);
                match self.choose((line.product_id, line.qty), wanted, hall, is_cut) {
                    Ok(seats) => drop(got.insert(line.product_id, seats)),
                    Err(refusal) => refused.push(line_of(line.product_id, line.qty, refusal)),
                }
            }
            if refused.is_empty() {
                assigned.accept(cart, got, &self.plans);
            } else {
                for (product_id, seats) in got {
                    if let Some((hall, plan)) = halls.get_mut(&product_id).zip(self.plans.get(&product_id)) {
                        hall.give_back(plan, &seats);
                    }
                }
                assigned.refuse(cart, refused);
            }
        }
        Ok(assigned)
    }

    fn choose(
        &self,
        (product_id, qty): (i64, i64),
        wanted: &Wanted,
        hall: &mut FreeSeats,
        is_cut: bool,
    ) -> Result<Vec<i64>, Refusal> {
        match wanted {
            Wanted::Named(seats) => match hall.take(seats) {
                Ok(()) => Ok(seats.clone()),
                Err(taken) => Err(taken_seats(&self.plans, product_id, taken)),
            },
            Wanted::Best { split } => {
                let count = usize::try_from(qty).unwrap_or_default();
                hall.take_best(count, *split && !is_cut).ok_or(SeatRefusal::NotAdjacent.into())
            }
        }
    }

    /// Writes the holds of the carts that got their seats.
    async fn second(&self, tx: &mut Tx<'_>, assigned: &Assigned) -> Result<TakenCarts, Failure> {
        let holds: HashSet<Uuid> = assigned.carts.iter().map(|cart| cart.hold_id).collect();
        let (counted, keys, owners) = (self.rest.counted(&holds), self.rest.keys(&holds), self.rest.owners(&holds));
        let packet = TakeCarts { carts: assigned.carts.clone(), owners, replaced: Vec::new(), counted, keys };
        let mut statements: Vec<String> = packet.keys.statement().into_iter().collect();
        let first = packet.lines().next().map(|(cart, line)| (cart.hold_id, line.product_id));
        if first.is_some() {
            statements.push(packet.insert());
            if !packet.owners.is_empty() {
                statements.push(owners::insert_of_holds(&packet.owners));
            }
            statements.extend(packet.counted.counters.statements());
            statements.extend(packet.counted.passes.iter().map(LimitPass::insert));
        }
        statements.extend(assigned.seats.iter().map(|(&product_id, holds)| seats::take(product_id, holds)));
        if !assigned.given_back.is_empty() {
            statements.push(products::give_back_all(&assigned.given_back));
        }
        if let Some((hold_id, product_id)) = first {
            let units = packet.units();
            statements.push(products::find_left_of_all(units.keys().copied(), hold_id, product_id));
        }
        if statements.is_empty() {
            return Ok(TakenCarts::Nothing);
        }
        let replies = tx.packet(&statements).await?;
        let taken = read_second(&packet, assigned, replies)?;
        packet.tell(tx, &taken, &self.replaced);
        Ok(taken)
    }
}

fn read_second(packet: &TakeCarts<'_>, assigned: &Assigned, mut replies: Vec<Reply>) -> Result<TakenCarts, Failure> {
    packet.keys.read(&mut replies)?;
    let is_empty = packet.carts.is_empty();
    let place = if is_empty { 0 } else { 1 + usize::from(!packet.owners.is_empty()) };
    let over = packet.counted.read(&mut replies, place)?;
    let mut replies = replies.into_iter();
    let mut next = || replies.next().ok_or_else(|| Failure::Broken("a reply to a packet is missing".to_owned()));
    if !is_empty {
        exactly("holds/insert", next()?.affected, packet.lines().count(), Failure::Stale)?;
        if !packet.owners.is_empty() {
            exactly("hold_owners/insert", next()?.affected, packet.owners.len(), Failure::Stale)?;
        }
    }
    over?;
    for seats in assigned.seats.values() {
        // they were free under the lock of their ticket type
        exactly("seats/take", next()?.affected, seats.len(), Failure::Raced)?;
    }
    if !assigned.given_back.is_empty() {
        exactly("products/give_back", next()?.affected, assigned.given_back.len(), Failure::Raced)?;
    }
    if is_empty { Ok(TakenCarts::Nothing) } else { left(next()?) }
}

impl Assigned {
    fn accept(&mut self, cart: &Cart, got: BTreeMap<i64, Vec<i64>>, plans: &BTreeMap<i64, Arc<SeatPlan>>) {
        let mut cart = cart.clone();
        for line in &mut cart.lines {
            let Some((seats, plan)) = got.get(&line.product_id).zip(plans.get(&line.product_id)) else { continue };
            line.seats = Some(seats.iter().filter_map(|n| plan.label(*n)).map(str::to_owned).collect());
        }
        for (product_id, seats) in got {
            self.seats.entry(product_id).or_default().extend(seats.into_iter().map(|n| (n, cart.hold_id)));
        }
        self.carts.push(cart);
    }

    fn refuse(&mut self, cart: &Cart, refused: Vec<RefusedLine>) {
        for line in &cart.lines {
            *self.given_back.entry(line.product_id).or_insert(0) += line.qty;
        }
        self.refused.insert(cart.hold_id, Refusal::RefusedLines(refused));
    }
}

impl Packet for TakeSeats<'_> {
    type Outcome = TakenSeats;

    /// As of carts without seats.
    fn bound(&self) -> Option<Duration> {
        Some(BOUND)
    }

    fn exchange<'b>(&'b self, tx: &'b mut Tx<'_>) -> BoxFuture<'b, Result<TakenSeats, Failure>> {
        async move {
            let assigned = self.first(tx).await?;
            if !self.replaced.is_empty()
                && let Some(refusal) = assigned.refused.values().next()
            {
                // the hold that it would replace stays
                return Err(refusal.clone().into());
            }
            let mut assigned = assigned;
            assigned.carts.sort_unstable_by_key(|cart| cart.hold_id);
            let taken = self.second(tx, &assigned).await?;
            taken.touch(tx);
            tx.touch(self.replaced.iter().map(|row| row.units.product_id));
            let carts = assigned.carts.into_iter().map(|cart| (cart.hold_id, cart)).collect();
            Ok(TakenSeats { taken, carts, refused: assigned.refused })
        }
        .boxed()
    }

    /// Finds the rows of an earlier attempt: those of all carts that got their seats, or none.
    fn find_own<'b>(&'b self, tx: &'b mut Tx<'_>) -> BoxFuture<'b, Result<Option<TakenSeats>, Failure>> {
        async move {
            let ids: Vec<Uuid> = self.carts.iter().map(|cart| cart.cart.hold_id).collect();
            let stored = if ids.is_empty() { Vec::new() } else { holds::list_rows(tx, &ids).await? };
            tx.touch(self.all().units().keys().copied());
            let before = |stored| TakenSeats {
                taken: TakenCarts::Before(stored),
                carts: HashMap::new(),
                refused: HashMap::new(),
            };
            Ok((!stored.is_empty()).then(|| before(stored)))
        }
        .boxed()
    }
}

/// Reads the numbers of seats.
fn numbers(reply: Reply) -> Result<Vec<i64>, Failure> {
    let read = |row| mysql_async::from_row_opt::<i64>(row).map_err(|error| Failure::Broken(error.to_string()));
    reply.rows.into_iter().map(read).collect()
}
