//! The tables of owners: who owns a hold or an order, and what the caller wrote on it. What has no row belongs to no client.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Row;
use uuid::Uuid;

use crate::db::column::{column, id, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, Text, ids, rows};
use crate::db::sql;
use crate::domain::{Details, Metadata, Owner};

/// What a row takes beside its texts, in bytes.
const ROW_BYTES: usize = 96;

/// Returns the statement that stores the owners of new holds. It has one affected row for each; a row that exists has none.
pub fn insert_of_holds(owners: &[(Uuid, Arc<Details>)]) -> String {
    sql::hold_owners::Insert { rows: values(owners) }.text()
}

/// Returns the statement that stores the owners of new orders, as [`insert_of_holds`].
pub fn insert_of_orders(owners: &[(Uuid, Arc<Details>)]) -> String {
    sql::order_owners::Insert { rows: values(owners) }.text()
}

fn values(owners: &[(Uuid, Arc<Details>)]) -> Text {
    let metadata: Vec<Option<String>> = owners.iter().map(|(_, details)| details.metadata_json()).collect();
    let row = |((id, details), metadata)| {
        let (id, details): (&Uuid, &Arc<Details>) = (id, details);
        let buyer = details.owner.buyer.as_deref();
        [
            Literal::Id(*id),
            Literal::Number(details.owner.client_id.unwrap_or(0)),
            buyer.map_or(Literal::Null, |buyer| Literal::Bytes(buyer.as_bytes())),
            Literal::text(&details.reference),
            Literal::text(metadata),
        ]
    };
    let pairs = owners.iter().map(|(id, details)| (id, details)).zip(&metadata);
    rows(pairs.map(row))
}

/// Lists the owners of holds, with what was written on these, by hold.
pub async fn list_of_holds(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Details>>, Failure> {
    if hold_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<Row> = tx.rows_text(&sql::hold_owners::List { ids: ids(hold_ids) }.text()).await?;
    let owned = |row: &Row| Ok((id(&column::<Vec<u8>>(row, "hold_id")?)?, details(row)?.unwrap_or_default()));
    found.iter().map(owned).collect()
}

/// Returns the client that owns a hold, of these owners sorted by hold; 0: an anonymous caller.
pub fn client_of(owners: &[(Uuid, Arc<Details>)], hold_id: Uuid) -> i64 {
    let own = owners.binary_search_by_key(&hold_id, |&(owned, _)| owned);
    own.ok().and_then(|place| owners[place].1.owner.client_id).unwrap_or(0)
}

/// Returns how many bytes an owner adds to a statement, at most: texts are written as hex.
pub fn row_bytes(details: &Details) -> usize {
    let texts = details.owner.buyer.as_ref().map_or(0, |buyer| buyer.len())
        + details.reference.as_ref().map_or(0, String::len)
        + details.metadata_json().map_or(0, |metadata| metadata.len());
    ROW_BYTES + 2 * texts
}

/// Reads the client and the buyer in a row that was joined with an owner; `None` when it has none.
pub(super) fn owner(row: &Row) -> Result<Option<Owner>, Failure> {
    let Some(client_id) = column::<Option<i64>>(row, "client_id")? else { return Ok(None) };
    let buyer = text_column(row, "buyer")?.map(Arc::from);
    Ok(Some(Owner { client_id: (client_id != 0).then_some(client_id), buyer }))
}

/// Reads the columns of an owner in a row that was joined with it; `None` when it has none.
pub(super) fn details(row: &Row) -> Result<Option<Arc<Details>>, Failure> {
    let Some(owner) = owner(row)? else { return Ok(None) };
    let metadata = text_column(row, "metadata")?.map(|json| serde_json::from_str::<Metadata>(&json)).transpose();
    let metadata = metadata.map_err(|error| Failure::Broken(format!("stored metadata is not an object: {error}")))?;
    let metadata = metadata.unwrap_or_default();
    Ok(Some(Arc::new(Details { owner, reference: text_column(row, "reference")?, metadata })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_adds_no_more_bytes_than_its_bound() {
        let owner = Owner { client_id: Some(i64::MAX), buyer: Some("b".repeat(128).into()) };
        let metadata = (0..3).map(|n| (format!("key{n}"), "v".repeat(500))).collect();
        let details = Arc::new(Details { owner, reference: Some("r".repeat(128)), metadata });
        for insert in [insert_of_holds, insert_of_orders] {
            let length = |count: usize| insert(&vec![(Uuid::max(), Arc::clone(&details)); count]).len();
            assert!(
                length(101) - length(1) <= 100 * row_bytes(&details),
                "{} bytes each",
                (length(101) - length(1)) / 100
            );
        }
    }
}
