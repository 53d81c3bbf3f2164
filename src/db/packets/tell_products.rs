//! A packet that notes which products are sold out, or available again, and tells the feed of it.

use uuid::Uuid;

use super::exactly;
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::tables::feed_products;
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::domain::{Audience, FeedItem, FeedType};

/// Tells of those of these products whose state is another one than was told last. Whether it is, the statement decides that notes it.
/// `batch` names this telling: after a COMMIT without an answer, it finds what it has noted.
///
/// # Errors
/// [`Failure::Raced`] when an earlier attempt was committed meanwhile.
pub async fn tell(tx: &mut Tx<'_>, batch: Uuid, product_ids: &[i64]) -> Result<(), Failure> {
    if tx.after_unknown() {
        let [before] = exactly(tx.packet(&[feed_products::list_turned(batch, product_ids)]).await?)?;
        if !before.rows.is_empty() {
            return wait_for_disk(tx).await;
        }
    }
    let [_, turned, noted] = exactly(tx.packet(&statements(batch, product_ids)).await?)?;
    let noted_rows: Vec<(i64, bool)> = read(noted)?;
    if noted_rows.len() as u64 != turned.affected {
        return Err(Failure::Raced("feed_products/turn"));
    }
    tx.tell(noted_rows.into_iter().map(item));
    Ok(())
}

/// Returns the statements, in the order of the locks.
pub fn statements(batch: Uuid, product_ids: &[i64]) -> [String; 3] {
    [
        feed_products::insert(product_ids),
        feed_products::turn(batch, product_ids),
        feed_products::list_turned(batch, product_ids),
    ]
}

fn item((product_id, is_sold_out): (i64, bool)) -> FeedItem {
    let kind = if is_sold_out { FeedType::ProductSoldOut } else { FeedType::ProductAvailableAgain };
    FeedItem::new(kind, Audience::Clients).of_product(product_id)
}

fn read(reply: Reply) -> Result<Vec<(i64, bool)>, Failure> {
    let read = |row| mysql_async::from_row_opt(row).map_err(|error| Failure::Broken(error.to_string()));
    reply.rows.into_iter().map(read).collect()
}
