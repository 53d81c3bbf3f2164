//! A packet that takes a batch of carts: holds of several products, some of which replace other holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::counters::{Counted, LimitPass};
use super::keys::Keys;
use super::{BOUND, OneTrip, Packet, one_trip};
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard::exactly;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::holds::{self, HoldLine, sum};
use crate::db::tables::products::{self, Terms, UnitsOnTerms};
use crate::db::tables::{owners, seats};
use crate::domain::{Details, FeedItem, FeedType, HoldStatus};

/// What a cart adds to the packet beside its lines at most, in bytes: the lines of a hold that it replaces.
pub const CART_BYTES: usize = 20 * 195;
/// What a line adds at most, in bytes, with a product that no other line has.
pub const LINE_BYTES: usize = 860;
/// What a line adds beyond that if a cart of the packet has a ticket type. It is not counted, nor is a counter of its event: the limit of
/// a batch leaves room for them.
#[cfg(test)]
const TICKET_BYTES: usize = 240;

/// A cart to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// The id of its hold.
    pub hold_id: Uuid,
    /// The hold that it replaces, of the same owner.
    pub replaces: Option<Uuid>,
    /// Its lines, by product; at least one.
    pub lines: Vec<CartLine>,
    /// How long it lasts, in seconds.
    pub ttl_seconds: u64,
}

/// A line of a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartLine {
    /// The product.
    pub product_id: i64,
    /// How many units.
    pub qty: i64,
    /// The terms of the product, as they were read before; the packet takes effect only if they still hold. They are the same in
    /// all lines of a product.
    pub terms: Arc<Terms>,
    /// The labels of its seats, if its units are seats.
    pub seats: Option<Arc<[String]>>,
}

impl CartLine {
    /// Returns the labels of its seats in lines; empty for the units of an admission, `None` for those of no ticket type.
    fn labels(&self) -> Option<String> {
        let labels = self.seats.as_ref().map(|labels| labels.join("\n"));
        labels.or_else(|| self.terms.sale.ticket.map(|_| String::new()))
    }
}

/// A batch of carts. Without carts, the packet only makes copies of earlier requests durable.
#[derive(Debug)]
pub struct TakeCarts<'a> {
    /// Sorted by id.
    pub carts: Vec<Cart>,
    /// The owners of some of them, sorted by id.
    pub owners: Vec<(Uuid, Arc<Details>)>,
    /// The lines of the holds that they replace, as they were read before, sorted.
    pub replaced: Vec<holds::Counted>,
    /// The counters that have the units of some of the lines, and what they get: less what the replaced holds give back.
    pub counted: Counted,
    /// The keys of the requests, and of copies.
    pub keys: Keys<'a>,
}

/// The result of the packet.
#[derive(Debug)]
pub enum TakenCarts {
    /// There were no carts to take.
    Nothing,
    /// The carts were taken.
    Now {
        /// Units on sale after the batch, by product.
        left: HashMap<i64, i64>,
        /// The database's clock when they were taken, UTC.
        taken_at: NaiveDateTime,
    },
    /// An earlier attempt had taken them, in a commit whose response was lost.
    Before(Vec<HoldLine>),
}

impl TakenCarts {
    /// Notes the products of which no unit is left.
    pub(super) fn touch(&self, tx: &mut Tx<'_>) {
        if let Self::Now { left, .. } = self {
            tx.touch(left.iter().filter(|(_, left)| **left <= 0).map(|(product_id, _)| *product_id));
        }
    }
}

/// Returns the row of a line.
fn row<'a>((cart, line): (&'a Cart, &'a CartLine)) -> [Literal<'a>; 7] {
    [
        Literal::Id(cart.hold_id),
        Literal::Number(line.product_id),
        Literal::Number(line.qty),
        Literal::Number(line.terms.price_minor),
        Literal::Bytes(line.terms.currency.as_bytes()),
        Literal::Later("NOW(6)", cart.ttl_seconds),
        Literal::Code("expires_at"),
    ]
}

fn row_with_order_time<'a>(line: (&'a Cart, &'a CartLine)) -> [Literal<'a>; 8] {
    let [id, product, qty, price, currency, expires, returns] = row(line);
    let order_seconds = line.1.terms.sale.order_seconds().map_or(Literal::Null, Literal::Count);
    [id, product, qty, price, currency, expires, returns, order_seconds]
}

impl TakeCarts<'_> {
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Cart, &CartLine)> {
        self.carts.iter().flat_map(|cart| cart.lines.iter().map(move |line| (cart, line)))
    }

    /// Tells the feed of the carts that were taken, and of the holds that they replace, with these lines.
    pub(super) fn tell(&self, tx: &mut Tx<'_>, taken: &TakenCarts, replaced: &[holds::Counted]) {
        let TakenCarts::Now { taken_at, .. } = taken else { return };
        if !tx.tells_holds() {
            return;
        }
        for cart in &self.carts {
            let client_id = owners::client_of(&self.owners, cart.hold_id);
            if let Some(hold_id) = cart.replaces {
                let lines = replaced.iter().map(|row| row.units).filter(|units| units.hold_id == hold_id);
                let items = lines.map(|units| (units.product_id, units.qty)).collect();
                let released =
                    FeedItem::of_hold(FeedType::HoldReleased, client_id, hold_id, HoldStatus::Released, items);
                tx.tell([released.because("replaced")]);
            }
            let items = cart.lines.iter().map(|line| (line.product_id, line.qty)).collect();
            let created = FeedItem::of_hold(FeedType::HoldCreated, client_id, cart.hold_id, HoldStatus::Active, items);
            tx.tell([created.until(*taken_at + Duration::from_secs(cart.ttl_seconds))]);
        }
    }

    pub(super) fn insert(&self) -> String {
        let labels: Vec<Option<String>> = self.lines().map(|(_, line)| line.labels()).collect();
        if labels.iter().any(Option::is_some) {
            let values = self.lines().zip(&labels).map(|(line, labels)| self.row_with_seats(line, labels));
            return sql::holds::InsertWithSeats { rows: rows(values) }.text();
        }
        if !self.counted.marks.is_empty() {
            return sql::holds::InsertCounted { rows: rows(self.lines().map(|line| self.row_counted(line))) }.text();
        }
        if self.lines().all(|(_, line)| line.terms.sale.order_seconds().is_none()) {
            return sql::holds::Insert { rows: rows(self.lines().map(row)) }.text();
        }
        sql::holds::InsertWithOrderTime { rows: rows(self.lines().map(row_with_order_time)) }.text()
    }

    fn row_counted<'a>(&self, line: (&'a Cart, &'a CartLine)) -> [Literal<'a>; 10] {
        let [id, product, qty, price, currency, expires, returns, order_seconds] = row_with_order_time(line);
        let [buyer, _, held] = self.counted.mark(line.0.hold_id, line.1.product_id);
        [id, product, qty, price, currency, expires, returns, order_seconds, buyer, held]
    }

    fn row_with_seats<'a>(&self, line: (&'a Cart, &'a CartLine), labels: &'a Option<String>) -> [Literal<'a>; 12] {
        let [id, product, qty, price, currency, expires, returns, order_seconds, buyer, held] = self.row_counted(line);
        let [_, event, _] = self.counted.mark(line.0.hold_id, line.1.product_id);
        let labels = Literal::text(labels);
        [id, product, qty, price, currency, expires, returns, order_seconds, buyer, held, event, labels]
    }

    /// Returns the units to reserve, by product.
    pub(super) fn units(&self) -> UnitsOnTerms<'_> {
        let mut units = UnitsOnTerms::new();
        for (_, CartLine { product_id, qty, terms, .. }) in self.lines() {
            units.entry(*product_id).or_insert((0, &**terms)).0 += qty;
        }
        units
    }

    /// Returns the statements that end the replaced holds, and read their lines after that.
    pub(super) fn release(&self) -> Option<[String; 2]> {
        let mut hold_ids: Vec<Uuid> = self.replaced.iter().map(|row| row.units.hold_id).collect();
        hold_ids.dedup();
        (!hold_ids.is_empty()).then(|| [holds::release_all(&hold_ids), holds::list_counted_of(&hold_ids)])
    }

    /// Returns the statement that gives the units of replaced holds back. It locks the products of all carts, too: the statement
    /// behind it must not lock a product with a smaller id than these.
    pub(super) fn give_back(&self, taken: &UnitsOnTerms<'_>) -> Option<String> {
        let mut units = sum(self.replaced.iter().map(|row| row.units));
        if units.is_empty() {
            return None;
        }
        for &product_id in taken.keys() {
            units.entry(product_id).or_insert(0);
        }
        Some(products::give_back_replaced(&units))
    }

    /// Returns the statements that make the seats of replaced holds free. Their products are locked by then.
    pub(super) fn give_back_seats(&self) -> impl Iterator<Item = String> {
        let types = holds::seats_of(&self.replaced).into_iter();
        types.map(|(product_id, (hold_ids, _))| seats::give_back_all(product_id, &hold_ids))
    }

    /// Reads the replies to [`Self::give_back_seats`].
    ///
    /// # Errors
    /// [`Failure::Broken`] when the holds have another number of seats than their rows say.
    pub(super) fn read_seats(&self, mut next: impl FnMut() -> Result<Reply, Failure>) -> Result<(), Failure> {
        for (product_id, (hold_ids, count)) in holds::seats_of(&self.replaced) {
            seats::given_back(next()?.affected, product_id, &hold_ids, count)?;
        }
        Ok(())
    }
}

impl OneTrip for TakeCarts<'_> {
    fn statements(&self) -> Vec<String> {
        let mut statements: Vec<String> = self.keys.statement().into_iter().collect();
        let Some((&Cart { hold_id, .. }, &CartLine { product_id, .. })) = self.lines().next() else {
            return statements;
        };
        let units = self.units();
        statements.extend(self.release().into_iter().flatten());
        statements.push(self.insert());
        if !self.owners.is_empty() {
            statements.push(owners::insert_of_holds(&self.owners));
        }
        statements.extend(self.counted.counters.statements());
        statements.extend(self.counted.passes.iter().map(LimitPass::insert));
        statements.extend(self.give_back(&units));
        statements.extend(self.give_back_seats());
        statements.push(products::take_all(&units));
        statements.push(products::find_left_of_all(units.keys().copied(), hold_id, product_id));
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Failure::Stale`] when another transaction has taken a key or ended a replaced hold; [`Failure::CountersOver`];
    /// [`Failure::Changed`] when the units do not suffice, or terms have changed: nothing tells which.
    fn read(&self, replies: Vec<Reply>) -> Result<TakenCarts, Failure> {
        let mut replies = replies;
        self.keys.read(&mut replies)?;
        if self.carts.is_empty() {
            return Ok(TakenCarts::Nothing);
        }
        let before = if self.replaced.is_empty() { 0 } else { 2 };
        let place = before + 1 + usize::from(!self.owners.is_empty());
        let over = self.counted.read(&mut replies, place)?;
        let mut replies = replies.into_iter();
        let mut next = || replies.next().ok_or_else(|| Failure::Broken("a reply to a packet is missing".to_owned()));
        if !self.replaced.is_empty() {
            exactly("holds/release_all", next()?.affected, self.replaced.len(), Failure::Stale)?;
            let mut lines = holds::read_counted(&next()?.rows)?;
            lines.sort_unstable();
            if lines != self.replaced {
                return Err(Failure::Stale("holds/list_counted"));
            }
        }
        exactly("holds/insert", next()?.affected, self.lines().count(), Failure::Stale)?;
        if !self.owners.is_empty() {
            exactly("hold_owners/insert", next()?.affected, self.owners.len(), Failure::Stale)?;
        }
        over?;
        if !self.replaced.is_empty() {
            let products = sum(self.replaced.iter().map(|row| row.units)).len();
            exactly("products/give_back_replaced", next()?.affected, products, Failure::Changed)?;
            self.read_seats(&mut next)?;
        }
        exactly("products/take_all", next()?.affected, self.units().len(), Failure::Changed)?;
        left(next()?)
    }
}

impl Packet for TakeCarts<'_> {
    type Outcome = TakenCarts;

    /// That of a single cart, too: it holds up the single holds of its other products.
    fn bound(&self) -> Option<Duration> {
        Some(BOUND)
    }

    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>> {
        async move {
            let taken = one_trip(self, tx).await?;
            self.tell(tx, &taken, &self.replaced);
            taken.touch(tx);
            tx.touch(self.replaced.iter().map(|row| row.units.product_id));
            Ok(taken)
        }
        .boxed()
    }

    /// Finds the rows of an earlier attempt: all of them, or none.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<TakenCarts>, Failure>> {
        async move {
            let ids: Vec<Uuid> = self.carts.iter().map(|cart| cart.hold_id).collect();
            let stored = if ids.is_empty() { Vec::new() } else { holds::list_rows(tx, &ids).await? };
            tx.touch(self.units().keys().copied());
            Ok((!stored.is_empty()).then_some(TakenCarts::Before(stored)))
        }
        .boxed()
    }
}

/// Reads what the batch left.
pub(super) fn left(reply: Reply) -> Result<TakenCarts, Failure> {
    type Columns = (i64, i64, Option<NaiveDateTime>);
    let read = |row| mysql_async::from_row_opt(row).map_err(|error| Failure::Broken(error.to_string()));
    let rows: Vec<Columns> = reply.rows.into_iter().map(read).collect::<Result<_, _>>()?;
    let taken_at = rows.first().and_then(|&(.., taken_at)| taken_at);
    let taken_at = taken_at.ok_or_else(|| Failure::Broken("the time of a batch of carts is missing".to_owned()))?;
    Ok(TakenCarts::Now { left: rows.into_iter().map(|(id, available, _)| (id, available)).collect(), taken_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::packets::counters::COUNTER_BYTES;
    use crate::domain::{ProductStatus, Sale, Ticket, TicketKind};

    /// Returns the length of a packet of so many carts, each with a line of its own product or of the same one.
    fn length(carts: i64, sale: &Sale, replaced: i64, limited: bool) -> usize {
        let terms = Arc::new(Terms { price_minor: i64::MAX, currency: "EUR".to_owned(), sale: sale.clone() });
        let product = |cart: i64| i64::MAX - cart;
        let line =
            |cart: i64| CartLine { product_id: product(cart), qty: 99_999, terms: Arc::clone(&terms), seats: None };
        let cart =
            |cart: i64| Cart { hold_id: Uuid::max(), replaces: None, lines: vec![line(cart)], ttl_seconds: 31_536_000 };
        let units = |line: i64| holds::Units { hold_id: Uuid::max(), product_id: i64::MIN + line, qty: 99_999 };
        let counter = |line: i64| Uuid::from_u128(u128::MAX - u128::from(line.unsigned_abs()));
        let old = |line: i64| holds::Counted {
            units: units(line),
            counters: [Some(counter(line)), None, None],
            has_seats: false,
        };
        let mut counted = Counted::default();
        (0..replaced).for_each(|line| counted.counters.take_off(counter(line), 99_999));
        if limited {
            for line in 0..carts {
                let of_event = sale.ticket.map(|_| counter(3000 + line));
                let marks = [Some(counter(1000 + line)), of_event, Some(counter(2000 + line))];
                marks.into_iter().flatten().for_each(|counter| counted.counters.add(counter, 99_999, 1_000_000));
                counted.marks.insert((Uuid::max(), product(line)), marks);
            }
        }
        let packet = TakeCarts {
            carts: (0..carts).map(cart).collect(),
            owners: Vec::new(),
            replaced: (0..replaced).map(old).collect(),
            counted,
            keys: Keys::default(),
        };
        packet.statements().iter().map(String::len).sum()
    }

    #[test]
    fn a_cart_adds_no_more_bytes_than_its_bound() {
        let time = Some(chrono::DateTime::from_timestamp(2_000_000_000, 0).expect("a time").naive_utc());
        let number = Some(i64::from(i32::MAX));
        let sale = Sale {
            status: ProductStatus::Retired,
            starts_at: time,
            ends_at: time,
            hold_ttl_seconds: number,
            order_ttl_seconds: number,
            max_qty: number,
            max_per_buyer: number,
            ticket: None,
        };
        let ticket = Ticket {
            event_id: number,
            kind: TicketKind::Admission,
            sale_starts_at: time,
            sale_ends_at: time,
            max_per_buyer: number,
            cancelled_at: None,
        };
        let of_event = Sale { ticket: Some(ticket), ..sale.clone() };
        for (sale, more, counters) in [(Sale::default(), 0, 2), (sale, 0, 2), (of_event, TICKET_BYTES, 3)] {
            for replaced in [0, 1] {
                let most = LINE_BYTES + more;
                for (limited, most) in [(false, most), (true, most + counters * COUNTER_BYTES)] {
                    let each = (length(101, &sale, replaced, limited) - length(1, &sale, replaced, limited)) / 100;
                    // the replaced holds lock the products of the carts, too
                    assert!(each <= most, "{each} bytes each");
                }
            }
            let each = (length(1, &sale, 101, false) - length(1, &sale, 1, false)) / 100;
            assert!(20 * each <= CART_BYTES, "{each} bytes each");
        }
    }
}
