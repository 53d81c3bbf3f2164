//! The bodies of holds: what a request asks for, and how a hold is shown.

use chrono::NaiveDateTime;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::json::object;
use super::problem::Problem;
use super::values::{Timestamp, Whole, Word};
use crate::checkout::{HoldLine, Kept, Named, NewLine};
use crate::domain::seating::SeatWish;
use crate::domain::{Details, HoldStatus, Metadata};

/// A request for a hold: of one product, `product_id` and `qty`, or of several, `items`.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateHold", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(deny_unknown_fields)]
pub struct CreateHold {
    /// The product's id.
    #[serde(default, deserialize_with = "given")]
    product_id: Option<Whole>,
    /// Number of units, from 1 to the configured limit.
    #[serde(default, deserialize_with = "given")]
    qty: Option<Whole>,
    /// 1 to 20 lines, instead of `product_id` and `qty`: all of them are held, or none. Lines with the same product are added up.
    #[serde(default, deserialize_with = "given")]
    items: Option<Vec<CreateItem>>,
    /// An active hold of the same caller and buyer, which is given back if the new one can be had. Its units count as available.
    #[serde(default)]
    replaces: Option<Uuid>,
    /// The buyer as the caller names it: 1 to 128 visible ASCII characters.
    #[serde(default)]
    pub(super) buyer: Option<String>,
    /// The caller's own name for the hold, not unique: 1 to 128 visible ASCII characters.
    #[serde(default)]
    pub(super) reference: Option<String>,
    /// Texts that are kept and returned: at most 20, keys of up to 40 characters, values of up to 500, 2048 bytes of JSON together
    /// with `reference`.
    #[serde(default)]
    pub(super) metadata: Option<Metadata>,
}

impl Example for CreateHold {
    fn example() -> Self {
        let line = |product_id, qty, best: Option<bool>| CreateItem {
            product_id: Some(Whole(product_id)),
            sku: None,
            qty: Some(Whole(qty)),
            seats: None,
            best_available: best,
            split: best.map(|_| false),
        };
        // what `dev` sells: a unit of its product, and two seats of its event
        let items = vec![line(1, 1, None), line(2, 2, Some(true))];
        Self {
            product_id: None,
            qty: None,
            items: Some(items),
            replaces: None,
            buyer: None,
            reference: None,
            metadata: None,
        }
    }
}

/// Reads a field that may be missing and must not be null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A line of a request for a hold: its product, by `product_id` or by `sku`, and how many units, or which seats.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateHoldItem", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(try_from = "ItemFields")]
pub struct CreateItem {
    /// The product's id.
    product_id: Option<Whole>,
    /// The product's sku, instead of its id.
    sku: Option<String>,
    /// Number of units, from 1 to the configured limit. A line that names `seats` has none.
    qty: Option<Whole>,
    /// The labels of seats of a seated ticket type: all of them are held, or none.
    seats: Option<Vec<String>>,
    /// `true`: the best `qty` seats that are available.
    best_available: Option<bool>,
    /// With `best_available`: whether the seats may be apart where not as many are free beside each other; `true` by default.
    split: Option<bool>,
}

/// The fields of a [`CreateItem`] as they are sent, from an object only.
#[derive(Deserialize)]
struct ItemFields(#[serde(deserialize_with = "object")] ItemObject);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemObject {
    #[serde(default, deserialize_with = "given")]
    product_id: Option<Whole>,
    #[serde(default, deserialize_with = "given")]
    sku: Option<String>,
    #[serde(default, deserialize_with = "given")]
    qty: Option<Whole>,
    #[serde(default, deserialize_with = "given")]
    seats: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    best_available: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    split: Option<bool>,
}

impl TryFrom<ItemFields> for CreateItem {
    type Error = &'static str;

    fn try_from(ItemFields(item): ItemFields) -> Result<Self, Self::Error> {
        let ItemObject { product_id, sku, qty, seats, best_available, split } = item;
        if product_id.is_some() == sku.is_some() {
            return Err("a line must have either `product_id` or `sku`");
        }
        if qty.is_some() == seats.is_some() {
            return Err("a line must have either `qty` or `seats`");
        }
        if seats.is_some() && best_available.is_some() {
            return Err("a line must have either `seats` or `best_available`");
        }
        if split.is_some() && best_available != Some(true) {
            return Err("`split` is for lines with `best_available`");
        }
        Ok(Self { product_id, sku, qty, seats, best_available, split })
    }
}

impl Example for CreateItem {
    fn example() -> Self {
        let seats = ["A-3-6", "A-3-7"].map(str::to_owned).to_vec();
        let product_id = Some(Whole(2));
        Self { product_id, sku: None, qty: None, seats: Some(seats), best_available: None, split: None }
    }
}

impl CreateItem {
    fn line(self) -> Option<NewLine> {
        let product = match (self.product_id, self.sku) {
            (Some(Whole(product_id)), _) => Named::Id(product_id),
            (None, sku) => Named::Sku(sku?),
        };
        let seats = match (self.seats, self.best_available) {
            (Some(labels), _) => Some(SeatWish::Named(labels)),
            (None, Some(true)) => Some(SeatWish::Best { split: self.split.unwrap_or(true) }),
            (None, _) => None,
        };
        let qty = match (&seats, self.qty) {
            (Some(SeatWish::Named(labels)), _) => i64::try_from(labels.len()).ok()?,
            (_, qty) => qty?.0,
        };
        Some(NewLine { product, qty, seats })
    }
}

/// What a request for a hold asks for.
pub(super) enum Asked {
    /// Units of one product.
    One { product_id: i64, qty: i64 },
    /// Lines, or the replacement of a hold.
    Cart { lines: Vec<NewLine>, replaces: Option<Uuid> },
}

impl CreateHold {
    /// Takes what is asked for off the request.
    ///
    /// # Errors
    /// 422 `invalid_body` when it is neither one product nor lines, or both.
    pub(super) fn take_asked(&mut self) -> Result<Asked, Problem> {
        let replaces = self.replaces;
        match (self.product_id, self.qty, self.items.take()) {
            (Some(Whole(product_id)), Some(Whole(qty)), None) => Ok(match replaces {
                None => Asked::One { product_id, qty },
                Some(_) => {
                    Asked::Cart { lines: vec![NewLine { product: Named::Id(product_id), qty, seats: None }], replaces }
                }
            }),
            (None, None, Some(items)) => {
                let lines = items.into_iter().filter_map(CreateItem::line).collect();
                Ok(Asked::Cart { lines, replaces })
            }
            _ => {
                let detail = "The body must have either `product_id` and `qty`, or `items`.";
                Err(Problem::unprocessable("invalid_body", detail))
            }
        }
    }
}

/// One product of a hold.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "HoldItem", skip_serializing_if_is_none)]
pub struct HoldItem {
    /// The product's id.
    product_id: i64,
    /// Number of units.
    qty: i64,
    /// Price of one unit, in minor units of the hold's currency; later changes of the price do not affect it.
    unit_price_minor: i64,
    /// The labels of its seats, if its units are seats. After their units went back on sale, those that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<String>>,
}

impl From<&HoldLine> for HoldItem {
    fn from(line: &HoldLine) -> Self {
        let HoldLine { product_id, qty, unit_price_minor, .. } = *line;
        Self { product_id, qty, unit_price_minor, seats: line.labels().map(<[String]>::to_vec) }
    }
}

/// The most lines of one request.
const MOST_LINES: usize = 20;

/// The units that a hold keeps: either `qty` or `items`.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "ChangeHold", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(deny_unknown_fields)]
pub struct ChangeHold {
    /// Number of units that a hold of one product keeps, at least 1.
    #[serde(default, deserialize_with = "given")]
    qty: Option<Whole>,
    /// Up to 20 products of the hold; others keep their units.
    #[serde(default, deserialize_with = "given")]
    items: Option<Vec<KeptLine>>,
}

/// The units of one product that a hold keeps.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "KeptLine", deny_unknown_fields)]
#[serde(from = "KeptFields")]
pub struct KeptLine {
    /// The product's id.
    product_id: Whole,
    /// Number of units; 0 removes the product from the hold.
    qty: Whole,
}

/// The fields of a [`KeptLine`] as they are sent, from an object only.
#[derive(Deserialize)]
struct KeptFields(#[serde(deserialize_with = "object")] KeptObject);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptObject {
    product_id: Whole,
    qty: Whole,
}

impl From<KeptFields> for KeptLine {
    fn from(KeptFields(KeptObject { product_id, qty }): KeptFields) -> Self {
        Self { product_id, qty }
    }
}

impl Example for ChangeHold {
    fn example() -> Self {
        Self { qty: Some(Whole(1)), items: None }
    }
}

impl ChangeHold {
    pub(super) fn read(self) -> Result<Kept, Problem> {
        match self {
            Self { qty: Some(Whole(qty)), items: None } => Ok(Kept::Only(qty)),
            Self { qty: None, items: Some(items) } if items.len() <= MOST_LINES => {
                Ok(Kept::Lines(items.into_iter().map(|line| (line.product_id.0, line.qty.0)).collect()))
            }
            Self { qty: None, items: Some(_) } => {
                let detail = format!("`items` must have at most {MOST_LINES} products.");
                Err(Problem::unprocessable("invalid_body", detail))
            }
            _ => Err(Problem::unprocessable("invalid_body", "Give either `qty` or `items`.")),
        }
    }
}

/// A hold: units that are reserved for a short time.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Hold", skip_serializing_if_is_none)]
pub struct HoldBody {
    /// The hold's id.
    hold_id: Uuid,
    /// The product's id, if the hold has one product alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// Number of units, if the hold has one product alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<i64>,
    /// Price of one unit, in minor units of `currency`, if the hold has one product alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_price_minor: Option<i64>,
    /// All products of the hold, by id.
    items: Vec<HoldItem>,
    /// ISO 4217 code.
    currency: String,
    /// The hold's state.
    status: Word<HoldStatus>,
    /// When an active hold expires.
    expires_at: Timestamp,
    /// Seconds until `expires_at` by the database's clock, rounded up; 0 after it.
    expires_in: i64,
    /// The order that was made from the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The buyer, as the caller named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer: Option<String>,
    /// The caller's own name for the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What the caller wrote on the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

impl HoldBody {
    /// Shows a hold with this line and these others.
    pub(super) fn of(hold: HoldLine, others: &[HoldLine]) -> Self {
        let (buyer, reference, metadata) = written(hold.details.as_deref());
        let items = std::iter::once(&hold).chain(others).map(HoldItem::from).collect();
        let single = others.is_empty();
        Self {
            hold_id: hold.id,
            product_id: single.then_some(hold.product_id),
            qty: single.then_some(hold.qty),
            unit_price_minor: single.then_some(hold.unit_price_minor),
            items,
            currency: hold.currency,
            status: Word(hold.status),
            expires_at: Timestamp(hold.expires_at),
            expires_in: seconds_until(hold.expires_at, hold.server_time),
            order_id: hold.order_id,
            buyer,
            reference,
            metadata,
        }
    }

    /// Shows a hold with these lines; `None` without lines.
    pub(super) fn of_lines(lines: Vec<HoldLine>) -> Option<Self> {
        let mut lines = lines.into_iter();
        let first = lines.next()?;
        Some(Self::of(first, lines.as_slice()))
    }
}

/// Returns the buyer, the reference and the metadata of a hold or an order, as its body shows them.
pub(super) fn written(details: Option<&Details>) -> (Option<String>, Option<String>, Option<Metadata>) {
    let Some(details) = details else { return (None, None, None) };
    let buyer = details.owner.buyer.as_deref().map(str::to_owned);
    let metadata = (!details.metadata.is_empty()).then(|| details.metadata.clone());
    (buyer, details.reference.clone(), metadata)
}

/// Returns the whole seconds from `now` until `then`, rounded up, never negative.
fn seconds_until(then: NaiveDateTime, now: NaiveDateTime) -> i64 {
    let left = then - now;
    (left.num_seconds() + i64::from(left.subsec_nanos() > 0)).max(0)
}
