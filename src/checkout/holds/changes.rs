//! Changes of an active hold: fewer units, which are back on sale at once, and a later deadline.
//!
//! A hold changes and ends as a whole. Every row counts the change, and every guard compares its count with the number of rows
//! that were read, so that an order, an expiry, a release and a change that meet see each other.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::lines;
use crate::checkout::error::Error;
use crate::checkout::extension::Extension;
use crate::checkout::hold_events::tell_changed;
use crate::checkout::state::Checkout;
use crate::checkout::units;
use crate::db::tables::holds::{self, Counted, HoldLine, Units};
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::{Failure, Tx};
use crate::domain::{Caller, FeedType, Refusal};
use crate::telemetry;

/// The units that a hold keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// So many units of the only product.
    Only(i64),
    /// So many units of each of these products, `(product, units)`; of others as many as before.
    Lines(Vec<(i64, i64)>),
}

impl Checkout {
    /// Leaves a hold of this caller with fewer units; the others are back on sale at once. A hold that has these units already
    /// stays as it is. Returns its rows.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`], [`Refusal::HoldExpired`], [`Refusal::HoldReleased`],
    /// [`Refusal::HoldNotLarger`], [`Refusal::InvalidChange`].
    pub async fn reduce_hold(&self, caller: &Caller, hold_id: Uuid, kept: &Kept) -> Result<Vec<HoldLine>, Error> {
        let reduced = self.database.transaction("holds.reduce", |tx| {
            async move {
                let before = lines(tx, caller, hold_id).await?;
                if tx.after_unknown() && is_done(&before, kept) {
                    wait_for_disk(tx).await?;
                    return Ok(before);
                }
                let before = active(before)?;
                let reduction = Reduction::of(&before, kept)?;
                if reduction.freed.is_empty() {
                    wait_for_disk(tx).await?;
                    return Ok(before);
                }
                let changes = before.first().map_or(0, |line| line.changes);
                holds::reduce(tx, (hold_id, before.len(), changes), &reduction.kept).await?;
                // between the two: the rows are locked, and all of them are still there
                let counted = holds::list_counted(tx, &[hold_id]).await?;
                if !reduction.removed.is_empty() {
                    holds::delete(tx, hold_id, &reduction.removed).await?;
                }
                units::give_back_counted(tx, &reduction.freed_of(&counted)).await?;
                let lines = holds::find(tx, hold_id).await?;
                tell_changed(tx, FeedType::HoldReduced, &lines);
                Ok(lines)
            }
            .boxed()
        });
        Ok(reduced.await?)
    }

    /// Moves the deadline of a hold of this caller. Returns its rows, and whether an earlier request with the same key has moved
    /// it.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`], [`Refusal::HoldExpired`], [`Refusal::HoldReleased`],
    /// [`Refusal::ExtensionLimit`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn extend_hold(
        &self,
        caller: &Caller,
        hold_id: Uuid,
        extension: &Extension,
    ) -> Result<(Vec<HoldLine>, bool), Error> {
        let most = self.policy.max_hold_seconds;
        let (lines, replayed) = self
            .database
            .transaction("holds.extend", |tx| {
                async move {
                    if let Some(replayed) = extension.begin(tx).await? {
                        return Ok((lines(tx, caller, hold_id).await?, replayed));
                    }
                    let before = own_active(tx, caller, hold_id).await?;
                    let limits = holds::find_limits(tx, hold_id).await?;
                    let (Some(first), Some(limit)) = (before.first(), limits.first()) else {
                        return Err(Failure::Raced("holds/find_limits"));
                    };
                    let expires_at = extension.moved(first.expires_at, limit.created_at, &limits, most)?;
                    holds::extend(tx, first, before.len(), expires_at).await?;
                    let lines = holds::find(tx, hold_id).await?;
                    tell_changed(tx, FeedType::HoldExtended, &lines);
                    Ok((lines, false))
                }
                .boxed()
            })
            .await?;
        if replayed {
            telemetry::replayed("extend");
        }
        for line in &lines {
            self.supplies.outlooks.record_move(line.product_id, line.expires_at);
        }
        Ok((lines, replayed))
    }
}

/// Returns the rows of an active hold of this caller. The guards of the statements that follow decide whether it still is.
async fn own_active(tx: &mut Tx<'_>, caller: &Caller, hold_id: Uuid) -> Result<Vec<HoldLine>, Failure> {
    active(lines(tx, caller, hold_id).await?)
}

/// Refuses a hold that has ended.
fn active(lines: Vec<HoldLine>) -> Result<Vec<HoldLine>, Failure> {
    match lines.first().and_then(HoldLine::ended) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(lines),
    }
}

/// What a change takes off a hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reduction {
    /// The units of each product that the hold keeps.
    kept: BTreeMap<i64, i64>,
    /// The products of which it keeps none.
    removed: Vec<i64>,
    /// The units that go back on sale; empty when nothing changes.
    freed: Vec<Units>,
}

impl Reduction {
    /// Returns the units that go back on sale, with the counters of their rows.
    fn freed_of(&self, rows: &[Counted]) -> Vec<Counted> {
        let rows: BTreeMap<i64, &Counted> = rows.iter().map(|row| (row.units.product_id, row)).collect();
        let freed = |&units: &Units| {
            let row = rows.get(&units.product_id);
            let counters = row.map(|row| row.counters).unwrap_or_default();
            Counted { units, counters, has_seats: row.is_some_and(|row| row.has_seats) }
        };
        self.freed.iter().map(freed).collect()
    }

    /// Compares the units of a hold with those that it is to keep.
    ///
    /// # Errors
    /// [`Refusal::HoldNotLarger`], [`Refusal::InvalidChange`].
    fn of(lines: &[HoldLine], kept: &Kept) -> Result<Self, Refusal> {
        let wanted = wanted(lines, kept)?;
        let mut reduction = Self::default();
        for line @ &HoldLine { id: hold_id, product_id, qty, .. } in lines {
            let left = wanted.get(&product_id).copied().unwrap_or(qty);
            match left {
                0 => reduction.removed.push(product_id),
                left if left > qty => return Err(Refusal::HoldNotLarger { product_id, qty }),
                left if left < qty && line.labels().is_some() => {
                    return Err(Refusal::InvalidChange(
                        "it keeps all seats of a ticket type or none; replace it to keep some of them",
                    ));
                }
                left => drop(reduction.kept.insert(product_id, left)),
            }
            if left < qty {
                reduction.freed.push(Units { hold_id, product_id, qty: qty - left });
            }
        }
        match reduction.kept.is_empty() {
            true => Err(Refusal::InvalidChange("it keeps at least one unit; release it instead")),
            false => Ok(reduction),
        }
    }
}

/// Returns whether a hold has no more units than it is to keep: after a COMMIT without an answer, that one may have taken effect,
/// whatever has happened to the hold since.
fn is_done(lines: &[HoldLine], kept: &Kept) -> bool {
    match kept {
        Kept::Only(qty) => lines.iter().all(|line| line.qty <= *qty),
        Kept::Lines(pairs) => pairs
            .iter()
            .all(|(product_id, qty)| lines.iter().all(|line| line.product_id != *product_id || line.qty <= *qty)),
    }
}

/// Returns the units that a hold is to keep, by product.
fn wanted(lines: &[HoldLine], kept: &Kept) -> Result<BTreeMap<i64, i64>, Refusal> {
    let pairs = match (kept, lines) {
        (Kept::Only(qty), [line]) => vec![(line.product_id, *qty)],
        (Kept::Only(_), _) => return Err(Refusal::InvalidChange("it has several products; name them in `items`")),
        (Kept::Lines(pairs), _) => pairs.clone(),
    };
    let held: BTreeSet<i64> = lines.iter().map(|line| line.product_id).collect();
    let mut wanted = BTreeMap::new();
    for (product_id, qty) in pairs {
        if qty < 0 {
            return Err(Refusal::InvalidChange("a quantity must not be negative"));
        }
        if !held.contains(&product_id) && qty > 0 {
            return Err(Refusal::HoldNotLarger { product_id, qty: 0 });
        }
        if wanted.insert(product_id, qty).is_some() {
            return Err(Refusal::InvalidChange("a product must be named once"));
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::HoldStatus;

    fn lines(units: &[(i64, i64)]) -> Vec<HoldLine> {
        let now = DateTime::UNIX_EPOCH.naive_utc();
        let line = |&(product_id, qty): &(i64, i64)| HoldLine {
            id: Uuid::nil(),
            product_id,
            qty,
            unit_price_minor: 1,
            currency: "EUR".to_owned(),
            status: HoldStatus::Active,
            expires_at: now,
            order_id: None,
            details: None,
            server_time: now,
            order_ttl_seconds: None,
            held_on: None,
            changes: 0,
            seats: None,
        };
        units.iter().map(line).collect()
    }

    /// The units that stay, the products that go, and the units that go back on sale.
    type Reduced = (Vec<(i64, i64)>, Vec<i64>, Vec<(i64, i64)>);

    fn reduced(units: &[(i64, i64)], kept: &Kept) -> Result<Reduced, Refusal> {
        let Reduction { kept, removed, freed } = Reduction::of(&lines(units), kept)?;
        Ok((kept.into_iter().collect(), removed, freed.iter().map(|units| (units.product_id, units.qty)).collect()))
    }

    #[test]
    fn a_hold_keeps_what_is_named_and_every_other_product_stays() {
        let held = [(1, 5), (2, 3), (3, 1)];
        let kept = Kept::Lines(vec![(2, 0), (1, 2)]);
        assert_eq!(reduced(&held, &kept), Ok((vec![(1, 2), (3, 1)], vec![2], vec![(1, 3), (2, 3)])));
        assert_eq!(reduced(&[(1, 5)], &Kept::Only(1)), Ok((vec![(1, 1)], vec![], vec![(1, 4)])));
        let same = Kept::Lines(vec![(1, 5), (9, 0)]);
        assert_eq!(reduced(&held, &same), Ok((held.to_vec(), vec![], vec![])), "a product that is gone stays gone");
    }

    #[test]
    fn a_hold_becomes_neither_larger_nor_empty() {
        let held = [(1, 5), (2, 3)];
        let larger = |product_id, qty| Err(Refusal::HoldNotLarger { product_id, qty });
        assert_eq!(reduced(&held, &Kept::Lines(vec![(1, 6)])), larger(1, 5));
        assert_eq!(reduced(&held, &Kept::Lines(vec![(3, 1)])), larger(3, 0));
        assert_eq!(reduced(&[(1, 5)], &Kept::Only(6)), larger(1, 5));
        for (units, kept) in [
            (&held[..1], Kept::Only(0)),
            (&held[..], Kept::Only(1)),
            (&held[..], Kept::Lines(vec![(1, 0), (2, 0)])),
            (&held[..], Kept::Lines(vec![(1, 1), (1, 2)])),
            (&held[..], Kept::Lines(vec![(1, -1)])),
        ] {
            let refused = reduced(units, &kept).expect_err("no such change");
            assert!(matches!(refused, Refusal::InvalidChange(_)), "{kept:?}: {refused}");
        }
    }
}
