//! The lines of requests that cannot be fulfilled, as problems show them.

use poem_openapi::Object;
use serde::Serialize;

use super::values::Text;
use crate::domain::{Refusal, RefusedLine, SeatRefusal};

/// A line of a list that cannot be applied.
#[derive(Debug, Clone, Object, Serialize)]
pub(super) struct LineProblem {
    /// Its place in the list, from 0.
    line: i64,
    /// The stable name of the kind of problem.
    code: Text,
    /// The reason why it cannot be applied.
    detail: String,
}

impl From<(usize, Refusal)> for LineProblem {
    fn from((place, refusal): (usize, Refusal)) -> Self {
        let (line, code) = (i64::try_from(place).unwrap_or(i64::MAX), Text(refusal.code()));
        Self { line, code, detail: refusal.to_string() }
    }
}

/// A line of a hold that cannot be had.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct ItemProblem {
    /// The product's id; absent when no product has the sku.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// The sku, if the line named its product by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<String>,
    /// Number of units that were asked for, of all lines with this product.
    requested: i64,
    /// Units on sale at that moment; absent when the product was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    available_stock: Option<i64>,
    /// With `buyer_limit` and `held_units_limit`: the most units.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    /// With `buyer_limit` and `held_units_limit`: the units that count already.
    #[serde(skip_serializing_if = "Option::is_none")]
    yours: Option<i64>,
    /// With `buyer_limit`: the event, if the limit is that of all of its ticket types.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// With `seat_taken` and `seat_not_found`: the labels of the seats.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<String>>,
    /// The stable name of the kind of problem.
    code: Text,
}

impl From<RefusedLine> for ItemProblem {
    fn from(line: RefusedLine) -> Self {
        let RefusedLine { product_id, sku, requested, available_stock, refusal } = line;
        let passed = refusal.passed_limit();
        let (limit, yours) = passed.map(|(limit, yours, _)| (limit, yours)).unzip();
        let event_id = passed.and_then(|(.., event_id)| event_id);
        let code = Text(refusal.code());
        let seats = match refusal {
            Refusal::Seats(SeatRefusal::Taken { seats } | SeatRefusal::NotFound { seats }) => Some(seats),
            _ => None,
        };
        Self { product_id, sku, requested, available_stock, limit, yours, event_id, seats, code }
    }
}
