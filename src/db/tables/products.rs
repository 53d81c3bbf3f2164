//! The table of products: units on sale and reserved units.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use mysql_async::params;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::{exactly, single};
use crate::db::literal::{self, Literal};
use crate::db::sql;

/// A product, as reads return it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The price of one unit, in minor units of `currency`.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Units put on sale.
    pub stock: i64,
    /// Units on sale now.
    pub available: i64,
    /// The database's clock when it was read, UTC.
    pub server_time: NaiveDateTime,
}

/// The terms of a product, which every hold of it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What one unit costs, in minor units of `currency`.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

impl Product {
    /// Returns the terms.
    pub fn terms(&self) -> Terms {
        Terms { price_minor: self.price_minor, currency: self.currency.clone() }
    }
}

type Columns = (i64, String, i64, String, i64, i64, NaiveDateTime);

fn product((id, name, price_minor, currency, stock, available, server_time): Columns) -> Product {
    Product { id, name, price_minor, currency, stock, available, server_time }
}

/// Lists these products by id; missing ones are left out.
pub async fn list_some(tx: &mut Tx<'_>, product_ids: &BTreeSet<i64>) -> Result<Vec<Product>, Failure> {
    let ids = literal::list(product_ids.iter().map(|&id| Literal::Number(id)));
    let rows = tx.rows_text(&sql::products::ListSome { ids }.text()).await?;
    Ok(rows.into_iter().map(product).collect())
}

/// Lists up to `limit` products with ids greater than `after`, by id.
pub async fn list(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<Product>, Failure> {
    let rows = tx.rows(sql::products::LIST, params! { "after" => after, "limit" => limit }).await?;
    Ok(rows.into_iter().map(product).collect())
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

/// Returns the statement that reserves units of a product for new holds, if there are as many and its terms are still these.
pub fn take_units(product_id: i64, qty: i64, terms: &Terms) -> String {
    let statement = sql::products::Take {
        qty: Literal::Number(qty).into(),
        product_id: Literal::Number(product_id).into(),
        price_minor: Literal::Number(terms.price_minor).into(),
        currency: Literal::Bytes(terms.currency.as_bytes()).into(),
    };
    statement.text()
}

/// Reserves units of a product. Returns false when there are not enough.
pub async fn reserve(tx: &mut Tx<'_>, product_id: i64, qty: i64) -> Result<bool, Failure> {
    single("products/reserve", tx.execute(sql::products::RESERVE, params! { product_id, qty }).await?)
}

/// Puts units back on sale, by product. Runs no statement when there are none.
pub async fn give_back(tx: &mut Tx<'_>, units: &BTreeMap<i64, i64>) -> Result<(), Failure> {
    if units.is_empty() {
        return Ok(());
    }
    let pairs = units.iter().map(|(&id, &qty)| (Literal::Number(id), Literal::Number(qty)));
    let ids = literal::list(units.keys().map(|&id| Literal::Number(id)));
    let statement = sql::products::GiveBack { cases: literal::cases(pairs), ids };
    let affected = tx.execute_text(&statement.text()).await?;
    match exactly("products/give_back", affected, units.len(), Failure::Raced) {
        Err(Failure::Raced(_)) => Err(Failure::Broken(format!("a product of {units:?} is missing"))),
        other => other,
    }
}
