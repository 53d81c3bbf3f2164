//! The plans of ticket types that were read: which seats they have, and where these are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;

use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::tables::seats;
use crate::domain::seating::SeatPlan;

/// How many seats are remembered at most.
const MOST_SEATS: usize = 1_000_000;

/// The plans of ticket types that were read. Seats are added and never changed, so a plan holds as long as the type has as many.
#[derive(Debug, Default)]
pub(crate) struct SeatPlans(Mutex<HashMap<i64, Arc<SeatPlan>>>);

impl SeatPlans {
    /// Returns the plan of a ticket type with so many seats, from memory or by a read.
    pub(super) async fn get(&self, database: &Database, product_id: i64, stock: i64) -> Result<Arc<SeatPlan>, Error> {
        let known = self.plans().get(&product_id).cloned();
        if let Some(plan) = known.filter(|plan| plan.has(stock)) {
            return Ok(plan);
        }
        let read = database
            .read("seats.list", move |tx| async move { seats::read_plan(tx, product_id).await }.boxed())
            .await?;
        let plan = Arc::new(read);
        let mut plans = self.plans();
        let remembered: usize = plans.values().map(|plan| plan.len()).sum();
        if remembered + plan.len() > MOST_SEATS {
            plans.clear();
        }
        plans.insert(product_id, Arc::clone(&plan));
        Ok(plan)
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<i64, Arc<SeatPlan>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
