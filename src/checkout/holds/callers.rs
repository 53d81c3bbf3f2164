//! The counters of callers, and what has run out of the holds of those that a counter would refuse: it is given back before they are
//! refused. Their holds may be of any product. Those of a buyer are found by their owner; the ones of an address have no index, so that a page of all holds
//! that have run out is given back for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::expiry::{Pass, Seen, expire_due, expire_some};
use super::supply::Supplies;
use crate::db::door::Database;
use crate::db::due::Window;
use crate::db::error::Error;
use crate::db::tables::buyer_units;
use crate::db::views::lists::{HoldRange, Of, list_holds};
use crate::domain::{Owner, Refusal};

/// Buyers of one batch whose own holds are looked at, at most.
const BUYERS: usize = 16;
/// The newest holds of a buyer that are looked at.
const HOLDS: u32 = 100;
/// Rows of the page of all holds that have run out.
const PAGE: u32 = 500;

/// A caller that a counter would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// A buyer, whose name finds its holds.
    Buyer(Owner),
    /// An address.
    Address,
}

impl Caller {
    /// Returns whose counter refuses.
    pub(super) fn of(refusal: &Refusal, owner: Option<&Owner>) -> Self {
        let by_buyer = |owner: &&Owner| {
            owner.buyer.is_some() && (owner.client_id.is_some() || matches!(refusal, Refusal::BuyerLimit { .. }))
        };
        owner.filter(by_buyer).map_or(Self::Address, |owner| Self::Buyer(owner.clone()))
    }
}

/// What may have run out and is not given back yet.
#[derive(Debug, Default)]
pub(super) struct StillDue {
    /// Buyers without a hold that is left.
    without: HashSet<Caller>,
    /// Whether something of any other caller may be left.
    others: bool,
}

impl StillDue {
    /// Returns the refusal, with a time to come back if something of this caller is about to be given back.
    pub(super) fn told(&self, refusal: Refusal, owner: Option<&Owner>) -> Refusal {
        let is_due = self.others && !self.without.contains(&Caller::of(&refusal, owner));
        match refusal {
            Refusal::BuyerLimit { event_id, limit, yours, .. } => {
                Refusal::BuyerLimit { event_id, limit, yours, is_due }
            }
            Refusal::HeldUnitsLimit { limit, yours, .. } => Refusal::HeldUnitsLimit { limit, yours, is_due },
            other => other,
        }
    }
}

/// Reads counters, each once; one that is not there is left out.
pub(super) async fn list_counters(
    database: &Database,
    counters: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, i64>, Error> {
    let mut counters: Vec<Uuid> = counters.into_iter().collect();
    if counters.is_empty() {
        return Ok(HashMap::new());
    }
    counters.sort_unstable();
    counters.dedup();
    let counters = &counters;
    database.read("buyer_units.list", |tx| async move { buyer_units::list(tx, counters).await }.boxed()).await
}

/// Gives back what has run out of the holds of these callers, in bounded steps.
pub(super) async fn give_back_due(
    database: &Database,
    supplies: &Supplies,
    callers: &HashSet<Caller>,
) -> Result<StillDue, Error> {
    let buyers: Vec<&Caller> = callers.iter().filter(|caller| **caller != Caller::Address).take(BUYERS).collect();
    let hold_ids = newest_holds(database, &buyers).await?;
    let all_given_back = expire_some(database, &supplies.passed_over, &hold_ids).await?;
    let mut due = StillDue { without: HashSet::new(), others: !all_given_back };
    if all_given_back {
        due.without = buyers.iter().copied().cloned().collect();
    }
    if buyers.len() < callers.len() {
        let window = Window { after: supplies.due_place(), age: Duration::ZERO, limit: PAGE };
        let pass = expire_due(database, &supplies.passed_over, None, window).await?;
        due.others |= !matches!(pass, Pass::Done(Seen { last: None, .. }));
    }
    Ok(due)
}

/// Returns the newest holds of these buyers.
async fn newest_holds(database: &Database, buyers: &[&Caller]) -> Result<Vec<Uuid>, Error> {
    if buyers.is_empty() {
        return Ok(Vec::new());
    }
    let of = |caller: &&Caller| match caller {
        Caller::Buyer(owner) => Some(Of::Buyer(owner.client_id, owner.buyer.as_deref().unwrap_or_default().to_owned())),
        Caller::Address => None,
    };
    let owners: &Vec<Of> = &buyers.iter().filter_map(of).collect();
    let read = database.read("hold_owners.list_of_buyer", |tx| {
        async move {
            let mut hold_ids = Vec::new();
            for of in owners {
                let newest = HoldRange { first: Uuid::nil(), behind: Uuid::max(), limit: HOLDS };
                hold_ids.extend(list_holds(tx, Some(of), newest).await?);
            }
            Ok(hold_ids)
        }
        .boxed()
    });
    read.await
}
