//! The table of counters of units: of what a buyer has of a product, and of what a caller holds.

use std::collections::{BTreeMap, HashMap};

use mysql_async::Row;
use uuid::Uuid;

use crate::db::column::{column, id};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, choice, ids, rows};
use crate::db::sql;

/// Returns the statement that adds units to counters; negative ones are taken off.
pub fn add_all(units: &BTreeMap<Uuid, i64>) -> String {
    let row = |(&id, &units): (&Uuid, &i64)| [Literal::Id(id), Literal::Number(units)];
    sql::buyer_units::Add { rows: rows(units.iter().map(row)) }.text()
}

/// Adds units to counters; negative ones are taken off. Runs no statement when there are none.
pub async fn add(tx: &mut Tx<'_>, units: &BTreeMap<Uuid, i64>) -> Result<(), Failure> {
    if !units.is_empty() {
        tx.execute_text(&add_all(units)).await?;
    }
    Ok(())
}

/// Lists the units of these counters; those that are not there are left out.
pub async fn list(tx: &mut Tx<'_>, counters: &[Uuid]) -> Result<HashMap<Uuid, i64>, Failure> {
    if counters.is_empty() {
        return Ok(HashMap::new());
    }
    pairs(tx.rows_text(&sql::buyer_units::List { ids: ids(counters) }.text()).await?)
}

/// Returns the statement that finds which of these counters are over their limits.
pub fn list_over_all(limits: &BTreeMap<Uuid, i64>) -> String {
    let counters: Vec<Uuid> = limits.keys().copied().collect();
    let common = most_common(limits.values().copied()).unwrap_or(0);
    let others = limits.iter().filter(|&(_, &most)| most != common);
    let limit = |(&id, &most): (&Uuid, &i64)| (Literal::Id(id), Literal::Number(most));
    let limit = choice("id", others.map(limit), Literal::Number(common));
    sql::buyer_units::ListOver { ids: ids(&counters), limit }.text()
}

/// Returns the number that occurs most often.
fn most_common(numbers: impl Iterator<Item = i64>) -> Option<i64> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for number in numbers {
        *counts.entry(number).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map(|(number, _)| number)
}

/// Reads the counters of [`list_over_all`].
pub fn read_over(found: Vec<Row>) -> Result<Vec<Uuid>, Failure> {
    found.iter().map(|row| id(&column::<Vec<u8>>(row, "id")?)).collect()
}

/// Lists those of these counters that are over their limits, with their units.
pub async fn list_over(tx: &mut Tx<'_>, limits: &BTreeMap<Uuid, i64>) -> Result<HashMap<Uuid, i64>, Failure> {
    if limits.is_empty() {
        return Ok(HashMap::new());
    }
    pairs(tx.rows_text(&list_over_all(limits)).await?)
}

fn pairs(found: Vec<(Vec<u8>, i64)>) -> Result<HashMap<Uuid, i64>, Failure> {
    found.into_iter().map(|(counter, units)| Ok((id(&counter)?, units))).collect()
}
