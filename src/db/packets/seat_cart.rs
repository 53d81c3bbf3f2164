//! A cart some of whose lines are seats, and which seats these want.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::take_carts::Cart;
use crate::domain::seating::SeatPlan;
use crate::domain::{Refusal, RefusedLine, SeatRefusal};

/// The seats that a line wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These, by their numbers.
    Named(Vec<i64>),
    /// The best that are available.
    Best {
        /// Whether they may be in several blocks.
        split: bool,
    },
}

/// A cart, some of whose lines are seats.
#[derive(Debug, Clone)]
pub struct SeatCart {
    /// The cart; its lines get their seats here.
    pub cart: Cart,
    /// The seats that it wants, by ticket type.
    pub wanted: BTreeMap<i64, Wanted>,
}

/// Returns the seats that a cart names, by ticket type; `None` when it also wants the best ones of a type.
pub fn named(wanted: &BTreeMap<i64, Wanted>) -> Option<Vec<(i64, &[i64])>> {
    let mut named = Vec::new();
    for (&product_id, wanted) in wanted {
        match wanted {
            Wanted::Named(seats) => named.push((product_id, seats.as_slice())),
            Wanted::Best { .. } => return None,
        }
    }
    Some(named)
}

/// Returns the lines of which a cart names seats that are not among these free ones; none when it also wants the best ones of a type.
pub fn taken_lines(
    wanted: &BTreeMap<i64, Wanted>,
    free: &BTreeMap<i64, HashSet<i64>>,
    plans: &BTreeMap<i64, Arc<SeatPlan>>,
) -> Vec<RefusedLine> {
    let mut refused = Vec::new();
    for (product_id, seats) in named(wanted).unwrap_or_default() {
        let is_free = |n: &i64| free.get(&product_id).is_some_and(|free| free.contains(n));
        let taken: Vec<i64> = seats.iter().copied().filter(|n| !is_free(n)).collect();
        if !taken.is_empty() {
            let requested = i64::try_from(seats.len()).unwrap_or(i64::MAX);
            refused.push(line_of(product_id, requested, taken_seats(plans, product_id, taken)));
        }
    }
    refused
}

/// Returns the refusal of a line.
pub fn line_of(product_id: i64, requested: i64, refusal: Refusal) -> RefusedLine {
    RefusedLine { product_id: Some(product_id), sku: None, requested, available_stock: None, refusal }
}

/// Returns the refusal of seats that are not free, by their labels.
pub fn taken_seats(plans: &BTreeMap<i64, Arc<SeatPlan>>, product_id: i64, taken: Vec<i64>) -> Refusal {
    let label = |n: i64| plans.get(&product_id).and_then(|plan| plan.label(n)).unwrap_or_default().to_owned();
    SeatRefusal::Taken { seats: taken.into_iter().map(label).collect() }.into()
}
