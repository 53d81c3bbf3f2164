//! The counters of a packet: what it adds to them, behind the rows of its holds and before its products, and the limits that they
//! must keep.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use uuid::Uuid;

use crate::db::door::Reply;
use crate::db::error::Failure;
use crate::db::literal::Literal;
use crate::db::tables::buyer_units::{add_all, list_over_all, read_over};
use crate::db::tables::product_trail::{self, Author, ProductAction, ProductChange};

/// What one counter of a hold adds to the packet at most, in bytes: its row, its id in a list, its limit and the mark on the hold.
pub const COUNTER_BYTES: usize = 190;

/// The counters that have the units of a row of a hold: of its buyer and the product, of its buyer and the event, and of what the
/// caller holds.
pub type Marks = [Option<Uuid>; 3];

/// The counters of the holds of a packet.
#[derive(Debug, Default)]
pub struct Counted {
    /// The counters that have the units of each row of a hold that is counted, by hold and product.
    pub marks: HashMap<(Uuid, i64), Marks>,
    /// What the counters get.
    pub counters: Counters,
    /// The holds with which operators pass a limit.
    pub passes: Vec<LimitPass>,
}

impl Counted {
    /// Returns the counters that have the units of a row of a hold, as its columns.
    pub(super) fn mark(&self, hold_id: Uuid, product_id: i64) -> [Literal<'static>; 3] {
        let marks = self.marks.get(&(hold_id, product_id)).copied().unwrap_or_default();
        marks.map(|counter| counter.map_or(Literal::Null, Literal::Id))
    }

    /// Takes the replies about counters and passes off `replies`, from the place `at` on. Returns whether the counters keep their limits,
    /// as [`Counters::read`]: what stands before them may have changed, which counts first.
    ///
    /// # Errors
    /// [`Failure::Broken`] when one is missing.
    pub(super) fn read(&self, replies: &mut Vec<Reply>, at: usize) -> Result<Result<(), Failure>, Failure> {
        let passes = self.passes.len();
        if replies.len() < at + self.counters.statements().len() + passes {
            return Err(Failure::Broken("a reply to a packet is missing".to_owned()));
        }
        let kept = self.counters.read(replies, at);
        drop(replies.drain(at..at + passes));
        Ok(kept)
    }
}

/// A hold with which an operator passes the limit of a product for a buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitPass {
    /// The hold.
    pub hold_id: Uuid,
    /// The product.
    pub product_id: i64,
    /// The event, if the limit is that of all of its ticket types.
    pub event_id: Option<i64>,
    /// Its place among those of this hold.
    pub place: i64,
    /// The operator's name.
    pub operator: String,
    /// The buyer.
    pub buyer: String,
    /// The most units of one buyer.
    pub limit: i64,
    /// The buyer's units before the hold, and with it.
    pub units: (i64, i64),
}

impl LimitPass {
    /// Returns the statement that writes it into the trail of the product.
    pub(super) fn insert(&self) -> String {
        let author = Author { change_id: self.hold_id, actor: self.operator.clone(), reason: None };
        let &Self { hold_id, product_id, event_id, place, ref buyer, limit, units: (before, after), .. } = self;
        let values = |units: i64| {
            let mut values = json!({ "buyer": buyer, "hold_id": hold_id, "limit": limit, "units": units });
            if let Some(event_id) = event_id {
                values["event_id"] = event_id.into();
            }
            values.to_string()
        };
        let (from, to) = (Some(values(before)), values(after));
        let passed = ProductChange { product_id, action: ProductAction::LimitPassed, from, to };
        product_trail::insert(&author, &[(place, &passed)])
    }
}

/// Units that a packet adds to counters, one row for each counter.
#[derive(Debug, Default)]
pub struct Counters {
    units: BTreeMap<Uuid, i64>,
    limits: BTreeMap<Uuid, i64>,
}

impl Counters {
    /// Adds units to a counter that must not be over `limit` afterwards. A counter has the limit that it is given last.
    pub fn add(&mut self, counter: Uuid, units: i64, limit: i64) {
        *self.units.entry(counter).or_insert(0) += units;
        self.limits.insert(counter, limit);
    }

    /// Takes units off a counter.
    pub fn take_off(&mut self, counter: Uuid, units: i64) {
        *self.units.entry(counter).or_insert(0) -= units;
    }

    /// Returns the statements, in their order: none when there are no counters.
    pub(super) fn statements(&self) -> Vec<String> {
        let add = (!self.units.is_empty()).then(|| add_all(&self.units));
        let check = (!self.limits.is_empty()).then(|| list_over_all(&self.limits));
        add.into_iter().chain(check).collect()
    }

    /// Takes the replies to the statements off `replies`, from the place `at` on.
    ///
    /// # Errors
    /// [`Failure::CountersOver`] with the counters that would be over their limits: they were read before, and have grown since.
    pub(super) fn read(&self, replies: &mut Vec<Reply>, at: usize) -> Result<(), Failure> {
        if !self.units.is_empty() {
            replies.remove(at);
        }
        if self.limits.is_empty() {
            return Ok(());
        }
        let over = read_over(replies.remove(at).rows)?;
        match over.is_empty() {
            true => Ok(()),
            false => Err(Failure::CountersOver(over)),
        }
    }
}
