//! What a cart asks for, and whether the hold that it replaces can be replaced.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use crate::checkout::holds::answers::Identified;
use crate::checkout::keys::Keyable;
use crate::db::tables::holds::{Counted, HoldLine};
use crate::db::tables::idempotency_keys::IdempotentRequest;
use crate::domain::seating::SeatWish;
use crate::domain::{Details, HoldStatus, Owner, Refusal, RefusedLine};

/// A request for a hold of several products, or for one that replaces another.
#[derive(Debug)]
pub(crate) struct CartRequest {
    /// Created on arrival.
    pub(crate) hold_id: Uuid,
    /// Products with quantities, each product once.
    pub(crate) lines: BTreeMap<i64, i64>,
    /// The seats that some of the lines ask for, by ticket type.
    pub(crate) seats: BTreeMap<i64, SeatWish>,
    /// Lines whose sku no product has.
    pub(crate) unknown: Vec<RefusedLine>,
    /// The hold that it replaces, of the same owner.
    pub(crate) replaces: Option<Uuid>,
    /// Its owner, and what was written on it, if there is something to store.
    pub(crate) details: Option<Arc<Details>>,
    /// The client's idempotency key, if it sent one.
    pub(crate) keyed: Option<IdempotentRequest>,
    /// The counter of held units, if its caller is limited.
    pub(crate) held_on: Option<Uuid>,
    /// The name of the operator that asks for it, who may pass the limit of a buyer.
    pub(crate) operator: Option<Arc<str>>,
}

impl Keyable for CartRequest {
    fn keyed(&self) -> Option<&IdempotentRequest> {
        self.keyed.as_ref()
    }
}

impl Identified for CartRequest {
    fn hold_id(&self) -> Uuid {
        self.hold_id
    }
}

impl CartRequest {
    /// Returns the buyer, if it names one.
    pub(super) fn buyer(&self) -> Option<&str> {
        self.details.as_deref()?.owner.buyer.as_deref()
    }

    /// Returns whether it names some of its seats.
    pub(super) fn names_seats(&self) -> bool {
        self.seats.values().any(|wish| matches!(wish, SeatWish::Named(_)))
    }

    /// Returns the owner that the hold gets.
    fn owner(&self) -> Owner {
        self.details.as_deref().map(|details| details.owner.clone()).unwrap_or_default()
    }
}

/// The holds that carts replace, as they were read.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    lines: HashMap<Uuid, Vec<HoldLine>>,
    counted: HashMap<Uuid, Vec<Counted>>,
}

impl Replaced {
    /// Creates it from the lines of each hold, and the counters of all of them.
    pub(super) fn new(lines: HashMap<Uuid, Vec<HoldLine>>, rows: Vec<Counted>) -> Self {
        let mut counted: HashMap<Uuid, Vec<Counted>> = HashMap::new();
        for row in rows {
            counted.entry(row.units.hold_id).or_default().push(row);
        }
        Self { lines, counted }
    }

    /// Returns the lines of a hold.
    pub(super) fn get(&self, hold_id: &Uuid) -> Option<&Vec<HoldLine>> {
        self.lines.get(hold_id)
    }

    /// Returns the units of a hold, with the counters that have them.
    pub(super) fn counted(&self, hold_id: Uuid) -> &[Counted] {
        self.counted.get(&hold_id).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns why the hold that a cart replaces cannot be replaced; `None` when it can, or there is none.
pub(super) fn refusal_of(request: &CartRequest, replaced: &Replaced) -> Option<Refusal> {
    let lines = replaced.get(&request.replaces?);
    let Some(line) = lines.and_then(|lines| lines.first()) else { return Some(Refusal::HoldNotFound) };
    let owner = line.details.as_deref().map(|details| details.owner.clone()).unwrap_or_default();
    if owner != request.owner() {
        return Some(Refusal::HoldNotFound);
    }
    match (line.order_id, line.status) {
        (Some(order_id), _) => Some(Refusal::HoldUsed { order_id }),
        (None, HoldStatus::Expired) => Some(Refusal::HoldExpired),
        (None, HoldStatus::Released) => Some(Refusal::HoldReleased),
        (None, HoldStatus::Active | HoldStatus::Ordered) => None,
    }
}
