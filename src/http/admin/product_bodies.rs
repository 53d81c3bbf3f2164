//! The bodies of the operators' routes about products.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, SubsecRound as _};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checkout::products::changes::{Draft, Line, Upserted};
use crate::checkout::{Product, ProductAction, ProductTrailEntry};
use crate::domain::{Currency, ProductDetails, ProductStatus, Refusal, Sale};
use crate::http::large::merge;
use crate::http::values::{Cursor, JsonObject, Timestamp, Whole, Word};

/// The most texts in the metadata.
const METADATA_KEYS: usize = 20;
/// The longest name of a text, in characters.
const METADATA_KEY_CHARS: usize = 40;
/// The longest text, in characters.
const METADATA_VALUE_CHARS: usize = 500;
/// The largest metadata, in bytes of JSON.
const METADATA_BYTES: usize = 2048;

/// A product as it is to be. Fields that are left out have no value of their own: the shop's rule applies.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "ProductDraft", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct ProductDraft {
    /// The operator's own name for it, unique: 1 to 64 visible ASCII characters. In an update by sku, the one of the path.
    pub(super) sku: Option<String>,
    /// The name, 1 to 255 characters.
    pub(super) name: String,
    /// Price of one unit, in minor units of `currency`.
    pub(super) price_minor: Whole,
    /// ISO 4217 code.
    pub(super) currency: String,
    /// Units put on sale. Needed for a new product; in an update, only the stock that the product has.
    pub(super) stock: Option<Whole>,
    /// Whether it is sold; `on_sale` by default.
    pub(super) status: Option<Word<ProductStatus>>,
    /// When the sale begins (RFC 3339); left out: at once.
    pub(super) sale_starts_at: Option<String>,
    /// When the sale is over (RFC 3339), after `sale_starts_at`; left out: never.
    pub(super) sale_ends_at: Option<String>,
    /// How long a hold lasts, 1 to 86,400 seconds.
    pub(super) hold_ttl_seconds: Option<Whole>,
    /// How long an order may stay unpaid, 1 to 2,592,000 seconds.
    pub(super) order_ttl_seconds: Option<Whole>,
    /// The most units of one hold, 1 to 1000.
    pub(super) max_qty: Option<Whole>,
    /// The most units of one buyer.
    pub(super) max_per_buyer: Option<Whole>,
    /// Until how many seconds after its creation a hold or an order can be extended, 1 to 2,592,000.
    pub(super) max_hold_seconds: Option<Whole>,
    /// Up to 20 texts, which buyers see: names of 1 to 40 characters, values of up to 500, together 2 KB.
    pub(super) metadata: Option<BTreeMap<String, String>>,
}

impl Example for ProductDraft {
    fn example() -> Self {
        Self {
            sku: Some("poster-1".to_owned()),
            name: "Poster".to_owned(),
            price_minor: Whole(4999),
            currency: "EUR".to_owned(),
            stock: Some(Whole(100)),
            status: None,
            sale_starts_at: Some("2027-01-02T09:00:00Z".to_owned()),
            sale_ends_at: None,
            hold_ttl_seconds: None,
            order_ttl_seconds: None,
            max_qty: Some(Whole(4)),
            max_per_buyer: None,
            max_hold_seconds: None,
            metadata: None,
        }
    }
}

impl ProductDraft {
    /// Names the sku of the path.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`] when the body names another one.
    pub(super) fn with_sku(mut self, sku: &str) -> Result<Self, Refusal> {
        if self.sku.get_or_insert_with(|| sku.to_owned()) != sku {
            return Err(invalid("sku", "must be that of the path"));
        }
        Ok(self)
    }

    /// Converts times, words and metadata.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`].
    pub(super) fn read(self) -> Result<Draft, Refusal> {
        let number = |number: Option<Whole>| number.map(|Whole(number)| number);
        let sale = Sale {
            status: self.status.map_or(ProductStatus::OnSale, |Word(status)| status),
            starts_at: read_time("sale_starts_at", self.sale_starts_at.as_deref())?,
            ends_at: read_time("sale_ends_at", self.sale_ends_at.as_deref())?,
            hold_ttl_seconds: number(self.hold_ttl_seconds),
            order_ttl_seconds: number(self.order_ttl_seconds),
            max_qty: number(self.max_qty),
            max_per_buyer: number(self.max_per_buyer),
            ticket: None,
        };
        let currency = Currency::parse(&self.currency).map_or(self.currency, |code| code.as_str().to_owned());
        let details = ProductDetails {
            sku: self.sku,
            name: self.name,
            price_minor: self.price_minor.0,
            currency,
            sale,
            max_hold_seconds: number(self.max_hold_seconds),
            metadata: self.metadata.map(|texts| write_metadata(&texts)).transpose()?,
        };
        Ok(Draft { details, stock: number(self.stock) })
    }
}

/// Fields of a product to be changed; null removes a value.
#[derive(Debug, Object)]
#[oai(rename = "ProductPatch", deny_unknown_fields)]
pub struct ProductPatch {
    /// The operator's own name for it, unique.
    sku: Option<String>,
    /// The name.
    name: Option<String>,
    /// Price of one unit, in minor units of `currency`.
    price_minor: Option<Whole>,
    /// ISO 4217 code.
    currency: Option<String>,
    /// The stock that the product has; another one is 422 `stock_not_here`.
    stock: Option<Whole>,
    /// Whether it is sold.
    status: Option<Word<ProductStatus>>,
    /// When the sale begins (RFC 3339).
    sale_starts_at: Option<String>,
    /// When the sale is over (RFC 3339).
    sale_ends_at: Option<String>,
    /// How long a hold lasts, in seconds.
    hold_ttl_seconds: Option<Whole>,
    /// How long an order may stay unpaid, in seconds.
    order_ttl_seconds: Option<Whole>,
    /// The most units of one hold.
    max_qty: Option<Whole>,
    /// The most units of one buyer.
    max_per_buyer: Option<Whole>,
    /// Until how many seconds after its creation a hold or an order can be extended.
    max_hold_seconds: Option<Whole>,
    /// Texts to be merged into those of the product.
    metadata: Option<BTreeMap<String, String>>,
}

/// Checks the form of a patch against a product that has nothing but the required fields.
///
/// # Errors
/// The reason why no product can be patched so.
pub(super) fn check_patch(patch: &Map<String, Value>) -> Result<(), serde_json::Error> {
    let mut fields = Map::new();
    for (name, value) in [("name", Value::from("")), ("price_minor", 0.into()), ("currency", "".into())] {
        fields.insert(name.to_owned(), value);
    }
    merge(&mut fields, patch);
    serde_json::from_value::<ProductDraft>(fields.into()).map(drop)
}

/// Returns the product with a patch applied.
///
/// # Errors
/// [`Refusal::InvalidProduct`].
pub(super) fn patched(product: &Product, patch: &Map<String, Value>) -> Result<Draft, Refusal> {
    let mut fields = product.details.fields();
    merge(&mut fields, patch);
    let draft: ProductDraft =
        serde_json::from_value(fields.into()).map_err(|_| invalid("metadata", "must be an object of texts"))?;
    draft.read()
}

fn invalid(field: &'static str, reason: &str) -> Refusal {
    Refusal::InvalidProduct { field, reason: reason.to_owned() }
}

/// What a text must be that is a time.
pub(super) const TIME_RULE: &str = "must be an RFC 3339 time, such as 2026-01-02T03:04:05Z";

/// Parses a time, converted to UTC and to whole microseconds, as the database stores it; `None` if it is none.
pub(super) fn time_of(text: &str) -> Option<NaiveDateTime> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.naive_utc().trunc_subsecs(6))
}

fn read_time(field: &'static str, text: Option<&str>) -> Result<Option<NaiveDateTime>, Refusal> {
    text.map(|text| time_of(text).ok_or_else(|| invalid(field, TIME_RULE))).transpose()
}

fn write_metadata(texts: &BTreeMap<String, String>) -> Result<String, Refusal> {
    let fits = |(name, value): (&String, &String)| {
        (1..=METADATA_KEY_CHARS).contains(&name.chars().count()) && value.chars().count() <= METADATA_VALUE_CHARS
    };
    let text = serde_json::to_string(texts).map_err(|_| invalid("metadata", "must be an object of texts"))?;
    match texts.len() <= METADATA_KEYS && texts.iter().all(fits) && text.len() <= METADATA_BYTES {
        true => Ok(text),
        false => Err(invalid(
            "metadata",
            "must have at most 20 texts, with names of 1 to 40 and values of up to 500 characters, and 2 KB in all",
        )),
    }
}

/// A list of products.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "ProductDrafts", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct ProductDrafts {
    /// Up to 1,000 products, each with its sku.
    pub(super) items: Vec<ProductDraft>,
}

/// What was done with one product of a list.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ProductUpserted")]
pub struct LineBody {
    /// The product's id.
    id: i64,
    /// Its sku.
    sku: String,
    /// What was done.
    outcome: Word<Upserted>,
}

impl From<Line> for LineBody {
    fn from(Line { product_id, sku, outcome }: Line) -> Self {
        Self { id: product_id, sku, outcome: Word(outcome) }
    }
}

/// What was done with a list of products.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ProductsUpserted")]
pub struct LinesBody {
    /// One for each product, in the order of the request.
    pub(super) items: Vec<LineBody>,
}

/// A change of a product's stock: either `add` or `set`.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "StockChange", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct StockBody {
    /// Units to be added, or to be taken off if negative.
    pub(super) add: Option<Whole>,
    /// The new stock, sold units included.
    pub(super) set: Option<Whole>,
    /// The reason, for the product's trail; up to 500 bytes.
    pub(super) reason: Option<String>,
}

impl Example for StockBody {
    fn example() -> Self {
        Self { add: Some(Whole(50)), set: None, reason: Some("A second delivery".to_owned()) }
    }
}

/// An entry in the trail of a product.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ProductTrailEntry", skip_serializing_if_is_none)]
pub struct TrailEntryBody {
    /// The entry's id.
    id: i64,
    /// When it happened.
    at: Timestamp,
    /// Who made the change.
    actor: String,
    /// What happened.
    action: Word<ProductAction>,
    /// The fields that changed, with their values before; absent for a new product.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<JsonObject>,
    /// The same fields with their new values.
    to: Option<JsonObject>,
    /// The reason, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<ProductTrailEntry> for TrailEntryBody {
    fn from(entry: ProductTrailEntry) -> Self {
        Self {
            id: entry.id,
            at: Timestamp(entry.at),
            actor: entry.actor,
            action: Word(entry.action),
            from: entry.from.as_deref().and_then(JsonObject::read),
            to: JsonObject::read(&entry.to),
            reason: entry.reason,
        }
    }
}

/// One page of the trail of a product, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ProductTrailPage")]
pub struct TrailPage {
    /// The entries.
    pub(super) items: Vec<TrailEntryBody>,
    /// The `cursor` of the next page; null on the last page.
    pub(super) next_cursor: Cursor,
}
