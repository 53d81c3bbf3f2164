//! Units that go back on sale, and those that a late payment reserves again: the only caller of these statements on products, and
//! the only place where counters of units lose them. New holds reserve and count their units in the packet that takes them.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::holds::{self, Counted, Returned, seats_of, sum};
use crate::db::tables::{buyer_units, products, seats};
use crate::domain::sale::limit;
use crate::domain::{HoldStatus, Refusal, counter};

/// Puts the units of these holds back on sale, and takes them off the counters that have them. The caller has just ended the holds or
/// their orders, by a guarded statement in the same transaction, so that this happens once.
pub(crate) async fn give_back(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<(), Failure> {
    let counted = holds::list_counted(tx, hold_ids).await?;
    give_back_counted(tx, &counted).await
}

/// Does the same for holds of which the guarded statement has changed `marked` rows: all of their rows, since a hold ends as a
/// whole. The rows are read after that statement, because until then another transaction may take units from an active hold, or
/// mark it.
///
/// # Errors
/// [`Failure::Broken`] when the holds have other rows, too.
pub(crate) async fn give_back_whole(tx: &mut Tx<'_>, hold_ids: &[Uuid], marked: u64) -> Result<(), Failure> {
    let counted = list_whole(tx, hold_ids, marked).await?;
    give_back_counted(tx, &counted).await
}

/// Lists the rows of these holds, of which the guarded statement has changed `marked`: all of them.
///
/// # Errors
/// [`Failure::Broken`] when the holds have other rows, too.
pub(crate) async fn list_whole(tx: &mut Tx<'_>, hold_ids: &[Uuid], marked: u64) -> Result<Vec<Counted>, Failure> {
    let counted = holds::list_counted(tx, hold_ids).await?;
    if counted.len() as u64 != marked {
        return Err(Failure::Broken(format!(
            "{marked} rows of {} were marked for the holds {hold_ids:?}",
            counted.len()
        )));
    }
    Ok(counted)
}

/// Puts units of rows of holds back on sale, and takes them off the counters of their rows. The caller has read the rows after its
/// guarded statement, in the same transaction.
pub(crate) async fn give_back_counted(tx: &mut Tx<'_>, rows: &[Counted]) -> Result<(), Failure> {
    let mut counters: BTreeMap<Uuid, i64> = BTreeMap::new();
    for row in rows {
        for counter in row.counters.into_iter().flatten() {
            *counters.entry(counter).or_insert(0) -= row.units.qty;
        }
    }
    buyer_units::add(tx, &counters).await?;
    products::give_back(tx, &sum(rows.iter().map(|row| row.units))).await?;
    give_back_seats(tx, rows).await
}

/// Makes the seats of these rows free: the same holds may have others of other ticket types. The products were changed before in the
/// same transaction, so that a batch which takes seats sees them with their units.
async fn give_back_seats(tx: &mut Tx<'_>, rows: &[Counted]) -> Result<(), Failure> {
    for (product_id, (hold_ids, count)) in seats_of(rows) {
        seats::give_back(tx, product_id, &hold_ids, count).await?;
    }
    Ok(())
}

/// Reserves the units of a hold again, all of them and the same seats, and counts them: those of a product with a limit per buyer
/// now, and those that were counted before.
///
/// # Errors
/// [`Failure::OutOfStock`] when there are not enough; [`Failure::OverLimit`] when they would pass the limit of their buyer;
/// [`Refusal::EventCancelled`] when some are of an event that was cancelled.
pub(crate) async fn reserve(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<(), Failure> {
    let rows = holds::list_to_reserve(tx, hold_id).await?;
    if rows.iter().any(|row| row.event_cancelled) {
        return Err(Refusal::EventCancelled.into());
    }
    count_again(tx, hold_id, &rows).await?;
    for row in rows {
        let reserved = products::reserve(tx, row.product_id, row.qty, row.max_per_buyer).await?;
        if !reserved || !seats::take_again(tx, hold_id, row.product_id, &row.seats).await? {
            return Err(Failure::OutOfStock);
        }
    }
    Ok(())
}

async fn count_again(tx: &mut Tx<'_>, hold_id: Uuid, rows: &[Returned]) -> Result<(), Failure> {
    let (mut units, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        let most = limit(row.max_per_buyer);
        let own = most.and_then(|_| counter::of_buyer(row.product_id, &row.owner));
        let of_product = row.counted_on.or(own).map(|counter| (counter, most));
        if let (None, Some((counter, _))) = (row.counted_on, of_product) {
            let marks = BTreeMap::from([(hold_id, (counter, row.qty))]);
            holds::mark_counted(tx, row.product_id, HoldStatus::Ordered, &marks).await?;
        }
        // the limit of an event is there before its first ticket type, so that a row without this counter has none
        let of_event = row.event_counted_on.map(|counter| (counter, limit(row.event_max_per_buyer)));
        for (counter, most) in of_product.into_iter().chain(of_event) {
            *units.entry(counter).or_insert(0) += row.qty;
            limits.extend(most.map(|most| (counter, most)));
        }
    }
    buyer_units::add(tx, &units).await?;
    let over = buyer_units::list_over(tx, &limits).await?;
    match over.into_iter().next() {
        Some((counter, units)) => Err(Failure::OverLimit { limit: limits.get(&counter).copied().unwrap_or(0), units }),
        None => Ok(()),
    }
}
