//! The table of products: units on sale and reserved units.

mod limit;
mod row;
mod ticket_type;

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::{Row, params};
use uuid::Uuid;

pub use self::limit::{LimitProgress, LimitState, find_limit, find_uncounted, first_place, next_place, note_counted};
pub use self::row::{Product, Terms};
use self::row::{literals, new_row, sale_literals, ticket_literals};
pub(in crate::db) use self::row::{product, sale};
pub use self::ticket_type::{cancel, insert_ticket_type, list_beside, list_of_event};
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::guard::{exactly, single};
use crate::db::literal::{self, Literal, Text};
use crate::db::sql;
use crate::domain::ProductDetails;

/// Lists these products by id; missing ones are left out.
pub async fn list_some(tx: &mut Tx<'_>, product_ids: &BTreeSet<i64>) -> Result<Vec<Product>, Failure> {
    let ids = literal::list(product_ids.iter().map(|&id| Literal::Number(id)));
    tx.rows_text(&sql::products::ListSome { ids }.text()).await?.iter().map(product).collect()
}

/// Finds one product.
pub async fn find(tx: &mut Tx<'_>, product_id: i64) -> Result<Option<Product>, Failure> {
    Ok(list_some(tx, &BTreeSet::from([product_id])).await?.pop())
}

/// Lists the products with these skus; missing ones are left out.
pub async fn list_by_sku(tx: &mut Tx<'_>, skus: &BTreeSet<&str>) -> Result<Vec<Product>, Failure> {
    if skus.is_empty() {
        return Ok(Vec::new());
    }
    let skus = literal::list(skus.iter().map(|sku| Literal::Bytes(sku.as_bytes())));
    tx.rows_text(&sql::products::ListBySku { skus }.text()).await?.iter().map(product).collect()
}

/// Lists up to `limit` products with ids greater than `after`, by id, without retired ones.
pub async fn list(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<Product>, Failure> {
    let rows: Vec<Row> = tx.rows(sql::products::LIST, params! { "after" => after, "limit" => limit }).await?;
    rows.iter().map(product).collect()
}

/// Returns how many units of these products are reserved; missing products are left out.
pub async fn list_reserved(
    tx: &mut Tx<'_>,
    product_ids: impl IntoIterator<Item = i64>,
) -> Result<BTreeMap<i64, i64>, Failure> {
    let mut product_ids = product_ids.into_iter().peekable();
    if product_ids.peek().is_none() {
        return Ok(BTreeMap::new());
    }
    let ids = literal::list(product_ids.map(Literal::Number));
    let rows: Vec<(i64, i64)> = tx.rows_text(&sql::products::ListReserved { ids }.text()).await?;
    Ok(rows.into_iter().collect())
}

/// Creates a product with this id unless there is one. Returns whether it was created.
pub async fn insert(
    tx: &mut Tx<'_>,
    product_id: i64,
    name: &str,
    price_minor: i64,
    currency: &str,
    stock: i64,
) -> Result<bool, Failure> {
    let params = params! { product_id, name, price_minor, currency, stock };
    Ok(tx.execute(sql::products::INSERT, params).await? == 1)
}

/// Returns the statement that reserves units of a product for new holds, if there are as many, its terms are still these, and
/// its sale is on.
pub fn take_units(product_id: i64, qty: i64, terms: &Terms) -> String {
    let (qty, product_id) = (Literal::Number(qty).into(), Literal::Number(product_id).into());
    let price_minor = Literal::Number(terms.price_minor).into();
    let currency = Literal::Bytes(terms.currency.as_bytes()).into();
    if terms.sale.is_plain() {
        return sql::products::Take { qty, product_id, price_minor, currency }.text();
    }
    let [status, sale_starts_at, sale_ends_at, hold_ttl_seconds, order_ttl_seconds, max_qty, max_per_buyer] =
        sale_literals(&terms.sale).map(Text::from);
    if let Some(ticket) = &terms.sale.ticket {
        let [kind, event_sale_starts_at, event_sale_ends_at, event_max_per_buyer] =
            ticket_literals(Some(ticket)).map(Text::from);
        let statement = sql::products::TakeTicket {
            qty,
            product_id,
            price_minor,
            currency,
            status,
            sale_starts_at,
            sale_ends_at,
            hold_ttl_seconds,
            order_ttl_seconds,
            max_qty,
            max_per_buyer,
            kind,
            event_sale_starts_at,
            event_sale_ends_at,
            event_max_per_buyer,
        };
        return statement.text();
    }
    let statement = sql::products::TakeOnTerms {
        qty,
        product_id,
        price_minor,
        currency,
        status,
        sale_starts_at,
        sale_ends_at,
        hold_ttl_seconds,
        order_ttl_seconds,
        max_qty,
        max_per_buyer,
    };
    statement.text()
}

/// The units to reserve of each product, with the terms that were read for it.
pub type UnitsOnTerms<'a> = BTreeMap<i64, (i64, &'a Terms)>;

/// Returns the statement that reserves units of several products for new holds. It changes the row of each product that has as
/// many, whose terms are still these, and whose sale is on.
pub fn take_all(units: &UnitsOnTerms<'_>) -> String {
    let ids = literal::list(units.keys().map(|&id| Literal::Number(id)));
    let quantities = each(units, |qty, _| Literal::Number(qty));
    let price_minor = each(units, |_, terms| Literal::Number(terms.price_minor));
    let currency = each(units, |_, terms| Literal::Bytes(terms.currency.as_bytes()));
    if units.values().all(|(_, terms)| terms.sale.is_plain()) {
        return sql::products::TakeAll { units: quantities, ids, price_minor, currency }.text();
    }
    let column = |place: usize| each(units, |_, terms| sale_literals(&terms.sale)[place]);
    let of_ticket = |place: usize| each(units, |_, terms| ticket_literals(terms.sale.ticket.as_ref())[place]);
    let statement = sql::products::TakeAllOnTerms {
        units: quantities,
        ids,
        price_minor,
        currency,
        status: column(0),
        sale_starts_at: column(1),
        sale_ends_at: column(2),
        hold_ttl_seconds: column(3),
        order_ttl_seconds: column(4),
        max_qty: column(5),
        max_per_buyer: column(6),
        kind: of_ticket(0),
        event_sale_starts_at: of_ticket(1),
        event_sale_ends_at: of_ticket(2),
        event_max_per_buyer: of_ticket(3),
    };
    statement.text()
}

fn each<'a>(units: &UnitsOnTerms<'a>, value: impl Fn(i64, &'a Terms) -> Literal<'a>) -> Text {
    literal::each("id", units.iter().map(|(&id, &(qty, terms))| (Literal::Number(id), value(qty, terms))))
}

/// Returns the statement that reads what a batch left of these products, and when this hold with a line of `product_id` was taken.
pub fn find_left_of_all(products: impl Iterator<Item = i64>, hold_id: Uuid, product_id: i64) -> String {
    let ids = literal::list(products.map(Literal::Number));
    let (hold_id, product_id) = (Literal::Id(hold_id).into(), Literal::Number(product_id).into());
    sql::products::FindLeftOfAll { hold_id, product_id, ids }.text()
}

/// Gives products other details, each if it still has those that the change was made from. They must be sorted by id.
///
/// # Errors
/// [`Failure::Raced`] when another transaction has changed one of them, or has taken a sku.
pub async fn change_all(tx: &mut Tx<'_>, changes: &[(i64, &ProductDetails, &ProductDetails)]) -> Result<(), Failure> {
    let statements =
        changes.iter().map(|&(product_id, before, after)| change_statement(product_id, before, after)).collect();
    for affected in in_parts(tx, statements).await.map_err(|failure| raced(failure, "products_sku"))? {
        if !single("products/change", affected)? {
            return Err(Failure::Raced("products/change"));
        }
    }
    Ok(())
}

/// Creates products, each with its stock. They must be sorted by sku. Returns false when a sku is taken.
pub async fn insert_all(tx: &mut Tx<'_>, products: &[(&ProductDetails, i64)]) -> Result<bool, Failure> {
    let statements = products.chunks(ROWS).map(insert_statement).collect();
    let affected: u64 = in_parts(tx, statements).await?.into_iter().sum();
    Ok(affected == products.len() as u64)
}

/// How many rows one statement inserts at most: with the longest texts, some 250 KB.
pub(super) const ROWS: usize = 25;
/// How many bytes travel together at most, unless a single statement has more.
const PART: usize = 256 * 1024;

/// Runs statements in as few round trips as the size of a packet allows. Returns how many rows each has changed.
pub(super) async fn in_parts(tx: &mut Tx<'_>, statements: Vec<String>) -> Result<Vec<u64>, Failure> {
    let (mut affected, mut part, mut bytes) = (Vec::with_capacity(statements.len()), Vec::new(), 0);
    for statement in statements {
        if bytes + statement.len() > PART && !part.is_empty() {
            affected.extend(tx.packet(&std::mem::take(&mut part)).await?.into_iter().map(|reply| reply.affected));
            bytes = 0;
        }
        bytes += statement.len();
        part.push(statement);
    }
    if !part.is_empty() {
        affected.extend(tx.packet(&part).await?.into_iter().map(|reply| reply.affected));
    }
    Ok(affected)
}

fn change_statement(product_id: i64, before: &ProductDetails, after: &ProductDetails) -> String {
    let [sku, name, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds, ..] =
        literals(after);
    let [.., order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata] = literals(after);
    let [old_sku, old_name, old_price_minor, old_currency, old_status, old_starts_at, old_ends_at, old_hold_ttl, ..] =
        literals(before);
    let [.., old_order_ttl, old_max_qty, old_max_per_buyer, old_max_hold, old_metadata] = literals(before);
    let statement = sql::products::Change {
        product_id: Literal::Number(product_id).into(),
        sku: sku.into(),
        name: name.into(),
        price_minor: price_minor.into(),
        currency: currency.into(),
        status: status.into(),
        sale_starts_at: sale_starts_at.into(),
        sale_ends_at: sale_ends_at.into(),
        hold_ttl_seconds: hold_ttl_seconds.into(),
        order_ttl_seconds: order_ttl_seconds.into(),
        max_qty: max_qty.into(),
        max_per_buyer: max_per_buyer.into(),
        max_hold_seconds: max_hold_seconds.into(),
        metadata: metadata.into(),
        count_begins: Literal::Id(first_place()).into(),
        old_sku: old_sku.into(),
        old_name: old_name.into(),
        old_price_minor: old_price_minor.into(),
        old_currency: old_currency.into(),
        old_status: old_status.into(),
        old_sale_starts_at: old_starts_at.into(),
        old_sale_ends_at: old_ends_at.into(),
        old_hold_ttl_seconds: old_hold_ttl.into(),
        old_order_ttl_seconds: old_order_ttl.into(),
        old_max_qty: old_max_qty.into(),
        old_max_per_buyer: old_max_per_buyer.into(),
        old_max_hold_seconds: old_max_hold.into(),
        old_metadata: old_metadata.into(),
    };
    statement.text()
}

fn insert_statement(products: &[(&ProductDetails, i64)]) -> String {
    sql::products::InsertAll { rows: literal::rows(products.iter().map(|&(details, stock)| new_row(details, stock))) }
        .text()
}

/// Adds new seats to the stock of a seated ticket type of this event. Returns false when it is none any more.
pub async fn add_seats(tx: &mut Tx<'_>, product_id: i64, event_id: Option<i64>, seats: i64) -> Result<bool, Failure> {
    tx.touch([product_id]);
    single("products/add_seats", tx.execute(sql::products::ADD_SEATS, params! { product_id, event_id, seats }).await?)
}

/// Gives a product another number of units, if it still has `before`. Returns false when it has not, or more are reserved.
pub async fn change_stock(tx: &mut Tx<'_>, product_id: i64, before: i64, after: i64) -> Result<bool, Failure> {
    let params = params! { product_id, "old_stock" => before, "stock" => after };
    single("products/change_stock", tx.execute(sql::products::CHANGE_STOCK, params).await?)
}

/// Reserves units of a product whose limit per buyer is still this one. Returns false when there are not enough.
///
/// # Errors
/// [`Failure::Raced`] when the limit is another one.
pub async fn reserve(tx: &mut Tx<'_>, product_id: i64, qty: i64, max_per_buyer: Option<i64>) -> Result<bool, Failure> {
    tx.touch([product_id]);
    let params = params! { product_id, qty, max_per_buyer };
    if single("products/reserve", tx.execute(sql::products::RESERVE, params).await?)? {
        return Ok(true);
    }
    match find_limit(tx, product_id).await? {
        Some(limit) if limit.max_per_buyer != max_per_buyer => Err(Failure::Raced("products/reserve")),
        _ => Ok(false),
    }
}

/// Returns the statement that puts units back on sale.
pub fn give_back_all(units: &BTreeMap<i64, i64>) -> String {
    let pairs = units.iter().map(|(&id, &qty)| (Literal::Number(id), Literal::Number(qty)));
    let ids = literal::list(units.keys().map(|&id| Literal::Number(id)));
    sql::products::GiveBack { cases: literal::cases(pairs), ids }.text()
}

/// Puts units back on sale, by product. Runs no statement when there are none.
pub async fn give_back(tx: &mut Tx<'_>, units: &BTreeMap<i64, i64>) -> Result<(), Failure> {
    if units.is_empty() {
        return Ok(());
    }
    tx.touch(units.keys().copied());
    let affected = tx.execute_text(&give_back_all(units)).await?;
    match exactly("products/give_back", affected, units.len(), Failure::Raced) {
        Err(Failure::Raced(_)) => Err(Failure::Broken(format!("a product of {units:?} is missing"))),
        other => other,
    }
}

/// Returns the statement that puts the units of replaced holds back on sale. It changes the rows of products of which units come
/// back and that have as many reserved; all others are locked in their turn.
pub fn give_back_replaced(units: &BTreeMap<i64, i64>) -> String {
    let pairs = units.iter().map(|(&id, &qty)| (Literal::Number(id), Literal::Number(qty)));
    let ids = literal::list(units.keys().map(|&id| Literal::Number(id)));
    sql::products::GiveBackReplaced { cases: literal::cases(pairs), ids }.text()
}
