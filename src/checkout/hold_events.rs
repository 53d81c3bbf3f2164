//! What the feed is told of holds that exist, if it is told of holds. The packets that take holds tell of these themselves.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::holds::{Counted, HoldLine};
use crate::db::tables::owners;
use crate::domain::{FeedItem, FeedType, HoldStatus};

/// Tells that holds have ended: what, in which state, and why, with the units of these rows, which are all of theirs. Before these go back
/// on sale: buyers wait for the products from then on, and not for this read of owners.
pub(crate) async fn tell_ended(
    tx: &mut Tx<'_>,
    kind: FeedType,
    reason: Option<&'static str>,
    rows: &[Counted],
) -> Result<(), Failure> {
    if !tx.tells_holds() {
        return Ok(());
    }
    let mut holds: BTreeMap<Uuid, Vec<(i64, i64)>> = BTreeMap::new();
    for row in rows {
        holds.entry(row.units.hold_id).or_default().push((row.units.product_id, row.units.qty));
    }
    let owners = owners::list_of_holds(tx, &holds.keys().copied().collect::<Vec<_>>()).await?;
    let status = if kind == FeedType::HoldExpired { HoldStatus::Expired } else { HoldStatus::Released };
    let ended = holds.into_iter().map(|(hold_id, items)| {
        let client_id = owners.get(&hold_id).and_then(|details| details.owner.client_id).unwrap_or(0);
        let item = FeedItem::of_hold(kind, client_id, hold_id, status, items);
        match reason {
            Some(reason) => item.because(reason),
            None => item,
        }
    });
    tx.tell(ended);
    Ok(())
}

/// Tells that an active hold was changed; `lines` are all of its rows after it.
pub(crate) fn tell_changed(tx: &mut Tx<'_>, kind: FeedType, lines: &[HoldLine]) {
    let Some(first) = lines.first().filter(|_| tx.tells_holds()) else { return };
    let client_id = first.details.as_deref().and_then(|details| details.owner.client_id).unwrap_or(0);
    let items = lines.iter().map(|line| (line.product_id, line.qty)).collect();
    let changed = FeedItem::of_hold(kind, client_id, first.id, HoldStatus::Active, items);
    tx.tell([changed.until(first.expires_at)]);
}
