//! A packet that takes a batch of holds on one product.

use std::sync::Arc;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::keys::Keys;
use super::{Packet, exactly};
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::owners;
use crate::db::tables::products::{self, Terms};
use crate::domain::{Details, Refusal};

/// What one hold adds to the packet at most, in bytes.
pub const ROW_BYTES: usize = 160;

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
    /// How long the holds last, in seconds.
    pub ttl_seconds: u64,
    /// The keys of the requests, and of copies.
    pub keys: Keys<'a>,
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
        sql::holds::Insert { rows: rows(self.holds.iter().map(row)) }.text()
    }

    fn units(&self) -> i64 {
        self.holds.iter().map(|(_, qty)| qty).sum()
    }

    /// Returns the statement that reads what the batch left; `first` is one of its holds.
    fn find_left(&self, first: Uuid) -> String {
        let statement = sql::products::FindLeft {
            product_id: Literal::Number(self.product_id).into(),
            hold_id: Literal::Id(first).into(),
            ttl_seconds: Literal::Count(self.ttl_seconds).into(),
        };
        statement.text()
    }
}

impl Packet for TakeHolds<'_> {
    type Outcome = TakenHolds;

    fn statements(&self) -> Vec<String> {
        let mut statements: Vec<String> = self.keys.statement().into_iter().collect();
        if let Some(&(first, _)) = self.holds.first() {
            statements.push(self.insert());
            if !self.owners.is_empty() {
                statements.push(owners::insert_of_holds(&self.owners));
            }
            statements.push(products::take_units(self.product_id, self.units(), self.terms));
            statements.push(self.find_left(first));
        }
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`]; [`Refusal::SoldOut`] when the units do not suffice, with what there is;
    /// [`Failure::Changed`] when the terms have changed.
    fn read(&self, mut replies: Vec<Reply>) -> Result<TakenHolds, Failure> {
        self.keys.read(&mut replies)?;
        if self.holds.is_empty() {
            return Ok(TakenHolds::Nothing);
        }
        if !self.owners.is_empty() && replies.remove(1).affected != self.owners.len() as u64 {
            return Err(Failure::Stale("hold_owners/insert"));
        }
        let [inserted, taken, left] = exactly(replies)?;
        let left = left.rows.into_iter().next().ok_or(Failure::Refused(Refusal::ProductNotFound))?;
        let (available, price_minor, currency, taken_at, expires_at) = mysql_async::from_row_opt(left)
            .map_err(|error| Failure::Broken(format!("what a batch left cannot be read: {error}")))?;
        if usize::try_from(inserted.affected) != Ok(self.holds.len()) {
            // an earlier attempt is still being committed, and the next one finds its rows; otherwise a bug
            return Err(Failure::Stale("holds/insert"));
        }
        match single("products/take", taken.affected)? {
            true => Ok(TakenHolds::Now { available, taken_at, expires_at }),
            false if (Terms { price_minor, currency }) != *self.terms => Err(Failure::Changed("products/take")),
            false => Err(Refusal::SoldOut { available_stock: available }.into()),
        }
    }

    /// Finds the rows of an earlier attempt: all of them, or none.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<TakenHolds>, Failure>> {
        async move {
            let ids: Vec<Uuid> = self.holds.iter().map(|&(id, _)| id).collect();
            let stored = if ids.is_empty() { Vec::new() } else { holds::list_rows(tx, &ids).await? };
            Ok((!stored.is_empty()).then_some(TakenHolds::Before(stored)))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_adds_no_more_bytes_than_its_bound() {
        let terms = Terms { price_minor: i64::MAX, currency: "EUR".to_owned() };
        let length = |count: usize| {
            let holds = vec![(Uuid::max(), i64::from(i32::MAX)); count];
            let keys = Keys::default();
            let owners = Vec::new();
            let packet =
                TakeHolds { product_id: i64::MAX, terms: &terms, holds, owners, ttl_seconds: 31_536_000, keys };
            packet.statements().iter().map(String::len).sum::<usize>()
        };
        assert!(length(101) - length(1) <= 100 * ROW_BYTES, "{} bytes each", (length(101) - length(1)) / 100);
    }
}
