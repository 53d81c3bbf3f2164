//! The limit per buyer of a product, and how far the units are counted that were out when it got the limit.

use mysql_async::{Row, Value, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id_column, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::Named;
use crate::domain::status::named;

named! {
    /// Whether the units that were out when a product got its limit per buyer are counted.
    LimitState {
        /// A worker counts them.
        Counting = "counting",
        /// All of them are counted.
        Enforced = "enforced",
    }
}

/// The limit per buyer of a product, and how far its units are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitProgress {
    /// The most units of one buyer.
    pub max_per_buyer: Option<i64>,
    /// Whether they are counted; `None`: there is no limit, or no worker has seen it.
    pub state: Option<LimitState>,
    /// The place that the last step has noted. No two steps note the same one, so that a step of an earlier count cannot take a
    /// later one for its own.
    pub counted_to: Option<Uuid>,
}

impl LimitProgress {
    /// Returns the place behind which the next hold to look at is; `None` at the beginning. A count that another program or an
    /// earlier version has begun has noted no place.
    pub fn place(&self) -> Option<Uuid> {
        self.counted_to.filter(|place| !is_first(*place))
    }
}

/// Returns the place that a count notes at its beginning: one of its own, before the id of every hold.
pub fn first_place() -> Uuid {
    Uuid::from_u128(u128::from(rand::random::<u64>() | FIRST))
}

/// The highest bit of the lower half of an id.
const FIRST: u64 = 1 << 63;

/// Returns whether a count begins at this place.
fn is_first(place: Uuid) -> bool {
    place.as_u128() >> 63 == 1
}

/// Returns a place of its own for a count that was at `after`, and has looked at all holds up to `end`: a little before `end`, so
/// that a few holds are looked at twice, which counts none of them twice.
pub fn next_place(after: Uuid, end: Uuid) -> Uuid {
    let (from, to) = (after.as_u128() >> 64, end.as_u128() >> 64);
    let place = |upper: u128| Uuid::from_u128(upper << 64 | u128::from(rand::random::<u64>()));
    // ids that other programs have chosen may stand closer together
    to.checked_sub(1).filter(|&upper| upper > from).map_or(end, place)
}

/// Finds the limit per buyer of a product.
pub async fn find_limit(tx: &mut Tx<'_>, product_id: i64) -> Result<Option<LimitProgress>, Failure> {
    let found: Option<Row> = tx.row(sql::products::FIND_LIMIT, params! { product_id }).await?;
    let Some(row) = &found else { return Ok(None) };
    Ok(Some(LimitProgress {
        max_per_buyer: column(row, "max_per_buyer")?,
        state: column::<Option<String>>(row, "limit_state")?.as_deref().map(state).transpose()?,
        counted_to: id_column(row, "limit_counted_to")?,
    }))
}

/// Finds a product whose units need no count any more, have to be counted, or are being counted.
pub async fn find_uncounted(tx: &mut Tx<'_>) -> Result<Option<i64>, Failure> {
    tx.row(sql::products::FIND_UNCOUNTED, ()).await
}

/// Notes how far the units of a product are counted.
///
/// # Errors
/// [`Failure::Raced`] when another transaction has changed the limit, or has counted further.
pub async fn note_counted(
    tx: &mut Tx<'_>,
    product_id: i64,
    before: LimitProgress,
    (state, counted_to): (Option<LimitState>, Option<Uuid>),
) -> Result<(), Failure> {
    let id = |id: Option<Uuid>| id.map_or(Value::NULL, bytes);
    let params = params! {
        product_id,
        "max_per_buyer" => before.max_per_buyer,
        "limit_state" => state.map(Named::as_str),
        "limit_counted_to" => id(counted_to),
        "old_limit_state" => before.state.map(Named::as_str),
        "old_limit_counted_to" => id(before.counted_to),
    };
    match single("products/note_counted", tx.execute(sql::products::NOTE_COUNTED, params).await?)? {
        true => Ok(()),
        false => Err(Failure::Raced("products/note_counted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mint_id;

    #[test]
    fn no_two_steps_note_the_same_place() {
        let (after, end) = (mint_id(), Uuid::from_u128(mint_id().as_u128() + (1 << 100)));
        let places = [(); 2].map(|()| next_place(after, end));
        assert_ne!(places[0], places[1]);
        assert!(places.iter().all(|&place| after < place && place < end && !is_first(place)), "{places:?}");
        let first = [(); 2].map(|()| first_place());
        assert_ne!(first[0], first[1]);
        assert!(first.iter().all(|&place| is_first(place) && place < after), "{first:?}");
    }

    #[test]
    fn a_step_goes_on_however_close_the_ids_stand() {
        let [small, next] = [1, 2].map(Uuid::from_u128);
        assert_eq!((next_place(Uuid::nil(), next), next_place(small, next)), (next, next));
        let after = mint_id();
        let close = Uuid::from_u128(after.as_u128() + 1);
        assert_eq!(next_place(after, close), close);
        let place = |counted_to| LimitProgress { max_per_buyer: None, state: None, counted_to }.place();
        assert_eq!([place(None), place(Some(first_place())), place(Some(small))], [None, None, Some(small)]);
    }
}
