//! A packet that takes a batch of holds on one product.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mysql_async::Row;
use uuid::Uuid;

use super::counters::{Counted, LimitPass};
use super::keys::Keys;
use super::{BOUND, OneTrip, Packet, exactly, one_trip};
use crate::db::column::column;
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::owners;
use crate::db::tables::products::{self, Terms};
use crate::domain::{Details, FeedItem, FeedType, HoldStatus, Refusal};

/// What one hold adds to the packet at most, in bytes.
pub const ROW_BYTES: usize = 170;

/// A batch of holds. Without holds, the packet only makes copies of earlier requests durable.
#[derive(Debug)]
pub struct TakeHolds<'a> {
    /// The product.
    pub product_id: i64,
    /// Its terms as they were read before; the packet takes effect only if they still hold.
    pub terms: &'a Terms,
    /// Ids with quantities, sorted by id.
    pub holds: Vec<(Uuid, i64)>,
    /// The owners of some of them, sorted by id.
    pub owners: Vec<(Uuid, Arc<Details>)>,
    /// The counters that have the units of some of them.
    pub counted: Counted,
    /// How long the holds last, in seconds.
    pub ttl_seconds: u64,
    /// The keys of the requests, and of copies.
    pub keys: Keys<'a>,
    /// Whether its jobs were tried together before.
    pub is_second: bool,
}

/// The result of the packet.
#[derive(Debug)]
pub enum TakenHolds {
    /// There were no holds to take.
    Nothing,
    /// The holds were taken.
    Now {
        /// Units on sale after the batch.
        available: i64,
        /// The database's clock when they were taken, UTC.
        taken_at: NaiveDateTime,
        /// When they run out, UTC.
        expires_at: NaiveDateTime,
    },
    /// An earlier attempt had taken them, in a commit whose response was lost.
    Before(Vec<HoldLine>),
}

type LeftOfPlain = (i64, i64, String, bool, NaiveDateTime, NaiveDateTime);

/// What a batch left, and why it may have failed.
struct Left {
    available: i64,
    /// Whether the terms are still those of the packet.
    same: bool,
    /// Why no hold can be taken now.
    refusal: Option<Refusal>,
    taken_at: NaiveDateTime,
    expires_at: NaiveDateTime,
}

impl TakeHolds<'_> {
    fn insert(&self) -> String {
        let row = |&(hold_id, qty): &(Uuid, i64)| {
            [
                Literal::Id(hold_id),
                Literal::Number(self.product_id),
                Literal::Number(qty),
                Literal::Number(self.terms.price_minor),
                Literal::Bytes(self.terms.currency.as_bytes()),
                Literal::Later("NOW(6)", self.ttl_seconds),
                Literal::Code("expires_at"),
            ]
        };
        if self.terms.sale.ticket.is_some() {
            return self.insert_of_ticket_type(row);
        }
        if !self.counted.marks.is_empty() {
            return self.insert_counted(row);
        }
        let Some(order_seconds) = self.terms.sale.order_seconds() else {
            return sql::holds::Insert { rows: rows(self.holds.iter().map(row)) }.text();
        };
        let with_order_time = |hold| {
            let [id, product, qty, price, currency, expires, returns] = row(hold);
            [id, product, qty, price, currency, expires, returns, Literal::Count(order_seconds)]
        };
        sql::holds::InsertWithOrderTime { rows: rows(self.holds.iter().map(with_order_time)) }.text()
    }

    fn insert_counted<'row>(&self, row: impl Fn(&(Uuid, i64)) -> [Literal<'row>; 7]) -> String {
        let order_seconds = self.order_seconds();
        let counted = |hold: &(Uuid, i64)| {
            let [id, product, qty, price, currency, expires, returns] = row(hold);
            let [buyer, _, held] = self.counted.mark(hold.0, self.product_id);
            [id, product, qty, price, currency, expires, returns, order_seconds, buyer, held]
        };
        sql::holds::InsertCounted { rows: rows(self.holds.iter().map(counted)) }.text()
    }

    /// A number of places: tickets without seats.
    fn insert_of_ticket_type<'row>(&self, row: impl Fn(&(Uuid, i64)) -> [Literal<'row>; 7]) -> String {
        let (order_seconds, no_seats) = (self.order_seconds(), Literal::Bytes(b""));
        let of_type = |hold: &(Uuid, i64)| {
            let [id, product, qty, price, currency, expires, returns] = row(hold);
            let [buyer, event, held] = self.counted.mark(hold.0, self.product_id);
            [id, product, qty, price, currency, expires, returns, order_seconds, buyer, held, event, no_seats]
        };
        sql::holds::InsertWithSeats { rows: rows(self.holds.iter().map(of_type)) }.text()
    }

    fn order_seconds(&self) -> Literal<'static> {
        self.terms.sale.order_seconds().map_or(Literal::Null, Literal::Count)
    }

    /// Returns what the feed is told.
    fn events(&self, expires_at: NaiveDateTime) -> impl Iterator<Item = FeedItem> {
        self.holds.iter().map(move |&(hold_id, qty)| {
            let (client_id, items) = (owners::client_of(&self.owners, hold_id), vec![(self.product_id, qty)]);
            FeedItem::of_hold(FeedType::HoldCreated, client_id, hold_id, HoldStatus::Active, items).until(expires_at)
        })
    }

    fn units(&self) -> i64 {
        self.holds.iter().map(|(_, qty)| qty).sum()
    }

    /// Returns the statement that reads what the batch left; `first` is one of its holds.
    fn find_left(&self, first: Uuid) -> String {
        let (product_id, hold_id) = (Literal::Number(self.product_id).into(), Literal::Id(first).into());
        match self.terms.sale.is_plain() {
            true => {
                let ttl_seconds = Literal::Count(self.ttl_seconds).into();
                sql::products::FindLeft { product_id, hold_id, ttl_seconds }.text()
            }
            false => sql::products::FindLeftOnTerms { product_id, hold_id }.text(),
        }
    }

    /// Reads what the batch left.
    fn left(&self, row: Row) -> Result<Left, Failure> {
        if self.terms.sale.is_plain() {
            let (available, price_minor, currency, plain, taken_at, expires_at): LeftOfPlain =
                mysql_async::from_row_opt(row)
                    .map_err(|error| Failure::Broken(format!("what a batch left cannot be read: {error}")))?;
            let Terms { price_minor: price, currency: code, .. } = self.terms;
            let same = plain && price_minor == *price && currency == *code;
            return Ok(Left { available, same, refusal: None, taken_at, expires_at });
        }
        let sale = products::sale(&row)?;
        let (now, expires_at): (NaiveDateTime, Option<NaiveDateTime>) =
            (column(&row, "server_time")?, column(&row, "expires_at")?);
        let taken_at: Option<NaiveDateTime> = column(&row, "created_at")?;
        let refusal = sale.refusal(now);
        let terms = Terms { price_minor: column(&row, "price_minor")?, currency: column(&row, "currency")?, sale };
        Ok(Left {
            available: column(&row, "available")?,
            same: terms == *self.terms,
            refusal,
            taken_at: taken_at.unwrap_or(now),
            expires_at: expires_at.unwrap_or(now),
        })
    }
}

impl OneTrip for TakeHolds<'_> {
    fn statements(&self) -> Vec<String> {
        let mut statements: Vec<String> = self.keys.statement().into_iter().collect();
        if let Some(&(first, _)) = self.holds.first() {
            statements.push(self.insert());
            if !self.owners.is_empty() {
                statements.push(owners::insert_of_holds(&self.owners));
            }
            statements.extend(self.counted.counters.statements());
            statements.extend(self.counted.passes.iter().map(LimitPass::insert));
            statements.push(products::take_units(self.product_id, self.units(), self.terms));
            statements.push(self.find_left(first));
        }
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`]; [`Refusal::SaleNotStarted`], [`Refusal::SaleEnded`] or [`Refusal::SalePaused`] when the
    /// sale is not on; [`Refusal::SoldOut`] when the units do not suffice, with what there is;
    /// [`Failure::Changed`] when the terms have changed; [`Failure::CountersOver`].
    fn read(&self, mut replies: Vec<Reply>) -> Result<TakenHolds, Failure> {
        self.keys.read(&mut replies)?;
        if self.holds.is_empty() {
            return Ok(TakenHolds::Nothing);
        }
        if !self.owners.is_empty() && replies.remove(1).affected != self.owners.len() as u64 {
            return Err(Failure::Stale("hold_owners/insert"));
        }
        self.counted.read(&mut replies, 1)??;
        let [inserted, taken, left] = exactly(replies)?;
        let left = left.rows.into_iter().next().ok_or(Failure::Refused(Refusal::ProductNotFound))?;
        let Left { available, same, refusal, taken_at, expires_at } = self.left(left)?;
        if usize::try_from(inserted.affected) != Ok(self.holds.len()) {
            // an earlier attempt is still being committed, and the next one finds its rows; otherwise a bug
            return Err(Failure::Stale("holds/insert"));
        }
        match single("products/take", taken.affected)? {
            true => Ok(TakenHolds::Now { available, taken_at, expires_at }),
            false if !same => Err(Failure::Changed("products/take")),
            false if let Some(refusal) = refusal => Err(refusal.into()),
            false => Err(Refusal::SoldOut { available_stock: available }.into()),
        }
    }
}

impl Packet for TakeHolds<'_> {
    type Outcome = TakenHolds;

    /// Counters are other rows than the product, on which all holds of the batch wait: other batches may lock them while they wait
    /// for products of their own. The first time, half of the bound is enough for a slow commit of another batch, and leaves its
    /// jobs more time for what follows.
    fn bound(&self) -> Option<Duration> {
        (self.holds.len() > 1 && !self.counted.marks.is_empty()).then_some(if self.is_second {
            BOUND
        } else {
            BOUND / 2
        })
    }

    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>> {
        async move {
            let taken = one_trip(self, tx).await?;
            if let TakenHolds::Now { expires_at, .. } = taken
                && tx.tells_holds()
            {
                tx.tell(self.events(expires_at));
            }
            if matches!(taken, TakenHolds::Now { available: ..=0, .. }) {
                tx.touch([self.product_id]);
            }
            Ok(taken)
        }
        .boxed()
    }

    /// Finds the rows of an earlier attempt: all of them, or none.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<TakenHolds>, Failure>> {
        async move {
            let ids: Vec<Uuid> = self.holds.iter().map(|&(id, _)| id).collect();
            let stored = if ids.is_empty() { Vec::new() } else { holds::list_rows(tx, &ids).await? };
            tx.touch([self.product_id]);
            Ok((!stored.is_empty()).then_some(TakenHolds::Before(stored)))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::packets::counters::COUNTER_BYTES;
    use crate::domain::Sale;

    #[test]
    fn a_hold_adds_no_more_bytes_than_its_bound() {
        for order_ttl_seconds in [None, Some(i64::from(i32::MAX))] {
            let sale = Sale { order_ttl_seconds, ..Sale::default() };
            let terms = Terms { price_minor: i64::MAX, currency: "EUR".to_owned(), sale };
            let length = |count: usize| {
                let holds = vec![(Uuid::max(), i64::from(i32::MAX)); count];
                let (keys, owners) = (Keys::default(), Vec::new());
                let packet = TakeHolds {
                    product_id: i64::MAX,
                    terms: &terms,
                    holds,
                    owners,
                    counted: Counted::default(),
                    ttl_seconds: 31_536_000,
                    keys,
                    is_second: false,
                };
                packet.statements().iter().map(String::len).sum::<usize>()
            };
            assert!(length(101) - length(1) <= 100 * ROW_BYTES, "{} bytes each", (length(101) - length(1)) / 100);
        }
    }

    #[test]
    fn a_counter_adds_no_more_bytes_than_its_bound() {
        let terms = Terms { price_minor: i64::MAX, currency: "EUR".to_owned(), sale: Sale::default() };
        let length = |count: u128| {
            let mut counted = Counted::default();
            let holds: Vec<(Uuid, i64)> =
                (0..count).map(|number| (Uuid::from_u128(u128::MAX - number), 1000)).collect();
            for &(hold_id, qty) in &holds {
                let [of_buyer, held] = [hold_id, Uuid::from_u128(hold_id.as_u128() >> 1)];
                [of_buyer, held].into_iter().for_each(|counter| counted.counters.add(counter, qty, 1_000_000));
                counted.marks.insert((hold_id, i64::MAX), [Some(of_buyer), None, Some(held)]);
            }
            let (owners, keys) = (Vec::new(), Keys::default());
            let packet = TakeHolds {
                product_id: i64::MAX,
                terms: &terms,
                holds,
                owners,
                counted,
                ttl_seconds: 31_536_000,
                keys,
                is_second: false,
            };
            packet.statements().iter().map(String::len).sum::<usize>()
        };
        let each = (length(101) - length(1)) / 100;
        assert!(each <= ROW_BYTES + 2 * COUNTER_BYTES, "{each} bytes each");
    }
}
