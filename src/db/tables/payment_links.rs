//! Links from a provider's objects to orders and holds, and the unmatched events that wait for a link.

use mysql_async::{Row, params};

use crate::db::column::{column, id_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, Text, list, rows};
use crate::db::sql;
use crate::domain::Reference;

/// The order or hold of one object of a provider: a session, an intent or a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The object.
    pub object_id: Vec<u8>,
    /// The name of its payment in the table of charges.
    pub charge_name: Vec<u8>,
    /// Its order or its hold.
    pub reference: Reference,
}

/// Links the objects of one payment to their order or hold. An object that is linked already keeps its link.
pub async fn insert(
    tx: &mut Tx<'_>,
    provider: &[u8],
    objects: &[Vec<u8>],
    charge_name: &[u8],
    reference: Reference,
) -> Result<(), Failure> {
    let id = |id: Option<uuid::Uuid>| id.map_or(Literal::Null, Literal::Id);
    let values = sorted(objects).into_iter().map(|object| {
        let [provider, object, charge_name] = [provider, object, charge_name].map(Literal::Bytes);
        [provider, object, charge_name, id(reference.order_id), id(reference.hold_id)]
    });
    tx.execute_text(&sql::payment_links::Insert { rows: rows(values) }.text()).await?;
    Ok(())
}

/// Lists the orders and holds of these objects, from charges and from links; of one object, the charge comes first: it has the
/// money, and a link may be older.
pub async fn list_known(tx: &mut Tx<'_>, provider: &[u8], objects: &[Vec<u8>]) -> Result<Vec<Link>, Failure> {
    let (provider, ids) = of_objects(provider, objects);
    let found: Vec<Row> = tx.rows_text(&sql::payment_links::List { provider, ids }.text()).await?;
    let (charges, links): (Vec<Row>, Vec<Row>) =
        found.into_iter().partition(|row| column::<bool>(row, "is_charge").unwrap_or(false));
    let link = |row: &Row| {
        let reference = Reference { order_id: id_column(row, "order_id")?, hold_id: id_column(row, "hold_id")? };
        Ok(Link { object_id: column(row, "object_id")?, charge_name: column(row, "charge_name")?, reference })
    };
    charges.iter().chain(&links).map(link).collect()
}

/// Records the objects that a new unmatched event names.
pub async fn insert_unmatched(
    tx: &mut Tx<'_>,
    provider: &[u8],
    objects: &[Vec<u8>],
    event_id: i64,
) -> Result<(), Failure> {
    let objects = sorted(objects).into_iter();
    let values =
        rows(objects.map(|object| [Literal::Bytes(provider), Literal::Bytes(object), Literal::Number(event_id)]));
    tx.execute_text(&sql::unmatched_objects::Insert { rows: values }.text()).await?;
    Ok(())
}

/// Lists unmatched events that name these objects, up to a hundred at a time.
pub async fn list_waiting(tx: &mut Tx<'_>, provider: &[u8], objects: &[Vec<u8>]) -> Result<Vec<i64>, Failure> {
    let (provider, ids) = of_objects(provider, objects);
    tx.rows_text(&sql::unmatched_objects::ListWaiting { provider, ids }.text()).await
}

/// Lists the objects that an unmatched event names, each with its provider; none when it is matched.
pub async fn list_of_event(tx: &mut Tx<'_>, event_id: i64) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Failure> {
    tx.rows(sql::unmatched_objects::LIST_OF_EVENT, params! { event_id }).await
}

/// Lists a page of the objects of unmatched events with ids greater than `after`, by event: the event, and whether the object
/// has a link or a charge, or the order that the event names exists.
pub async fn list_page(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<(i64, bool)>, Failure> {
    let mut page: Vec<(i64, bool)> = tx.rows(sql::unmatched_objects::LIST_PAGE, params! { after, limit }).await?;
    page.sort_unstable();
    Ok(page)
}

/// Deletes the objects of an event that was matched.
pub async fn delete_unmatched(tx: &mut Tx<'_>, event_id: i64) -> Result<(), Failure> {
    tx.execute(sql::unmatched_objects::DELETE, params! { event_id }).await?;
    Ok(())
}

fn of_objects(provider: &[u8], objects: &[Vec<u8>]) -> (Text, Text) {
    let ids = list(sorted(objects).into_iter().map(|object| Literal::Bytes(object)));
    (Literal::Bytes(provider).into(), ids)
}

/// Returns the objects in the order in which their rows are written, each once.
fn sorted(objects: &[Vec<u8>]) -> Vec<&Vec<u8>> {
    let mut sorted: Vec<&Vec<u8>> = objects.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
