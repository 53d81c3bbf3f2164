//! The bodies of the operators' routes about events and tickets.

use std::collections::BTreeMap;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{Example, Type};
use poem_openapi::{Object, types};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::product_bodies::{ProductDraft, TIME_RULE, time_of};
use crate::checkout::products::changes::Draft;
use crate::domain::seat::{MOST_NEW_SEATS, NewRow};
use crate::domain::{EventDetails, Named as _, ProductStatus, Refusal, TicketKind};
use crate::http::values::{Whole, Word};

/// An organizer as it is to be.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "OrganizerDraft", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct OrganizerDraft {
    /// The name, 1 to 255 characters.
    pub(super) name: String,
}

impl Example for OrganizerDraft {
    fn example() -> Self {
        Self { name: "City Concerts".to_owned() }
    }
}

/// An event as it is to be. It cannot be changed later.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "EventDraft", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct EventDraft {
    /// The id of its organizer.
    organizer_id: Whole,
    /// The name, 1 to 255 characters.
    name: String,
    /// Where it is, 1 to 255 characters.
    venue: String,
    /// When it begins (RFC 3339). The sale does not end by itself then: see `sale_ends_at`.
    starts_at: String,
    /// When the sale of all of its ticket types begins (RFC 3339); left out: at once. A ticket type may begin later.
    sale_starts_at: Option<String>,
    /// When the sale of all of its ticket types is over (RFC 3339), after `sale_starts_at`; left out: never. A ticket type may end
    /// earlier.
    sale_ends_at: Option<String>,
    /// The most tickets of one buyer, of all ticket types together, 1 to 1,000,000; left out: no limit. Holds need a buyer then.
    max_per_buyer: Option<Whole>,
}

impl Example for EventDraft {
    fn example() -> Self {
        Self {
            organizer_id: Whole(1),
            name: "Spring Concert".to_owned(),
            venue: "City Hall".to_owned(),
            starts_at: "2090-05-01T18:00:00Z".to_owned(),
            sale_starts_at: None,
            sale_ends_at: Some("2090-05-01T17:00:00Z".to_owned()),
            max_per_buyer: None,
        }
    }
}

impl EventDraft {
    /// Converts times.
    ///
    /// # Errors
    /// [`Refusal::InvalidEvent`].
    pub(super) fn read(self) -> Result<EventDetails, Refusal> {
        let time = |field: &'static str, text: String| {
            time_of(&text).ok_or(Refusal::InvalidEvent { field, reason: TIME_RULE })
        };
        let optional = |field, text: Option<String>| text.map(|text| time(field, text)).transpose();
        Ok(EventDetails {
            organizer_id: self.organizer_id.0,
            name: self.name,
            venue: self.venue,
            starts_at: time("starts_at", self.starts_at)?,
            sale_starts_at: optional("sale_starts_at", self.sale_starts_at)?,
            sale_ends_at: optional("sale_ends_at", self.sale_ends_at)?,
            max_per_buyer: self.max_per_buyer.map(|most| most.0),
        })
    }
}

/// Returns an event as text, for the fingerprint of its request.
pub(super) fn text_of_event(event: &EventDetails) -> String {
    let time = |time: Option<chrono::NaiveDateTime>| time.map(|time| time.and_utc().timestamp_micros());
    let mut text = json!({
        "organizer_id": event.organizer_id, "name": event.name, "venue": event.venue, "starts_at": time(Some(event.starts_at)),
        "sale_starts_at": time(event.sale_starts_at), "sale_ends_at": time(event.sale_ends_at),
    });
    if let Some(most) = event.max_per_buyer {
        text["max_per_buyer"] = most.into();
    }
    text.to_string()
}

/// A ticket type as it is to be: a product of an event. Fields that are left out have no value of their own.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "TicketTypeDraft", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct TicketTypeDraft {
    /// The name, 1 to 255 characters.
    name: String,
    /// `admission`: a number of places, sold as any product. `seated`: seats with labels, which are added afterwards.
    kind: Word<TicketKind>,
    /// Price of one ticket, in minor units of `currency`.
    price_minor: Whole,
    /// ISO 4217 code; the same for all ticket types of the event.
    currency: String,
    /// Places on sale: needed for `admission`. The stock of a seated type is the number of its seats.
    stock: Option<Whole>,
    /// The operator's own name for it, unique among all products: 1 to 64 visible ASCII characters.
    sku: Option<String>,
    /// Whether it is sold; `on_sale` by default.
    status: Option<Word<ProductStatus>>,
    /// When the sale begins (RFC 3339), but not before that of the event; left out: with it.
    sale_starts_at: Option<String>,
    /// When the sale is over (RFC 3339), but not after that of the event; left out: with it.
    sale_ends_at: Option<String>,
    /// How long a hold lasts, 1 to 86,400 seconds.
    hold_ttl_seconds: Option<Whole>,
    /// How long an order may stay unpaid, 1 to 2,592,000 seconds.
    order_ttl_seconds: Option<Whole>,
    /// The most tickets of one hold, 1 to 1000.
    max_qty: Option<Whole>,
    /// The most tickets of this type of one buyer, 1 to 1,000,000.
    max_per_buyer: Option<Whole>,
    /// Until how many seconds after its creation a hold or an order can be extended, 1 to 2,592,000.
    max_hold_seconds: Option<Whole>,
    /// Up to 20 texts, which buyers see: names of 1 to 40 characters, values of up to 500, together 2 KB.
    metadata: Option<BTreeMap<String, String>>,
}

impl Example for TicketTypeDraft {
    fn example() -> Self {
        Self {
            name: "Standing".to_owned(),
            kind: Word(TicketKind::Admission),
            price_minor: Whole(3900),
            currency: "EUR".to_owned(),
            stock: Some(Whole(400)),
            sku: None,
            status: None,
            sale_starts_at: None,
            sale_ends_at: None,
            hold_ttl_seconds: None,
            order_ttl_seconds: None,
            max_qty: Some(Whole(6)),
            max_per_buyer: None,
            max_hold_seconds: None,
            metadata: None,
        }
    }
}

impl TicketTypeDraft {
    /// Converts it into a product, times, words and metadata included.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`].
    pub(super) fn read(self) -> Result<(TicketKind, Draft), Refusal> {
        let draft = ProductDraft {
            sku: self.sku,
            name: self.name,
            price_minor: self.price_minor,
            currency: self.currency,
            stock: self.stock,
            status: self.status,
            sale_starts_at: self.sale_starts_at,
            sale_ends_at: self.sale_ends_at,
            hold_ttl_seconds: self.hold_ttl_seconds,
            order_ttl_seconds: self.order_ttl_seconds,
            max_qty: self.max_qty,
            max_per_buyer: self.max_per_buyer,
            max_hold_seconds: self.max_hold_seconds,
            metadata: self.metadata,
        };
        Ok((self.kind.0, draft.read()?))
    }
}

/// Returns a ticket type as text, for the fingerprint of its request.
pub(super) fn text_of_type(kind: TicketKind, draft: &Draft) -> String {
    let mut fields = draft.details.fields();
    fields.insert("kind".to_owned(), kind.as_str().into());
    fields.insert("stock".to_owned(), draft.stock.into());
    Value::Object(fields).to_string()
}

/// Seats to be added to a ticket type.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "NewSeats", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct SeatsDraft {
    /// Their sections; together up to 50,000 seats.
    sections: Vec<SectionDraft>,
}

/// A section of seats.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "NewSection", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct SectionDraft {
    /// The name: 1 to 20 characters without `-`.
    name: String,
    /// Its rows, in the order in which they are behind each other.
    rows: Vec<RowDraft>,
}

/// A row of seats. If the section has this row already, its seats continue it.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "NewRow", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct RowDraft {
    /// The name: 1 to 20 characters without `-`.
    name: String,
    /// A number of seats, which are named from `1` on, or their names in the order in which they are beside each other: 1 to 20
    /// characters each, without `-`.
    seats: SeatNames,
    /// How good the row is among those of its ticket type, 1 to 1,000,000: 1 is the best. Rows may have the same rank.
    rank: Whole,
}

/// The seats of a row: how many, or their names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a number of seats or a list of their names")]
pub enum SeatNames {
    /// As many, named from `1` on.
    Count(i64),
    /// These names.
    Names(Vec<String>),
}

impl Type for SeatNames {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "seat_names".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let mut names = MetaSchema::new("array");
        names.items = Some(Box::new(String::schema_ref()));
        let one_of = [MetaSchema::new_with_format("integer", "int64"), names];
        let one_of = one_of.map(|schema| MetaSchemaRef::Inline(Box::new(schema)));
        MetaSchemaRef::Inline(Box::new(MetaSchema { one_of: one_of.into(), ..MetaSchema::ANY }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl types::ToJSON for SeatNames {
    fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::Count(count) => (*count).into(),
            Self::Names(names) => json!(names),
        })
    }
}

impl types::ParseFromJSON for SeatNames {
    fn parse_from_json(value: Option<Value>) -> types::ParseResult<Self> {
        let read = serde_json::from_value(value.unwrap_or_default());
        read.map_err(|error| types::ParseError::custom(error.to_string()))
    }
}

impl Example for SeatsDraft {
    fn example() -> Self {
        let row = |name: &str, seats, rank| RowDraft { name: name.to_owned(), seats, rank: Whole(rank) };
        let names = ["1", "2", "2a", "3"].map(str::to_owned).to_vec();
        let rows = vec![row("1", SeatNames::Count(20), 5), row("2", SeatNames::Names(names), 6)];
        Self { sections: vec![SectionDraft { name: "B".to_owned(), rows }] }
    }
}

impl SeatsDraft {
    /// Returns the rows, each with the names of its seats.
    ///
    /// # Errors
    /// [`Refusal::InvalidSeats`] when a row has a number of seats that no row can have.
    pub(super) fn read(self) -> Result<Vec<NewRow>, Refusal> {
        let mut rows = Vec::new();
        let mut left = MOST_NEW_SEATS;
        for section in self.sections {
            for RowDraft { name, seats, rank } in section.rows {
                let seats = match seats {
                    SeatNames::Names(names) => names,
                    SeatNames::Count(count) => {
                        let count = usize::try_from(count).ok().filter(|count| (1..=left).contains(count));
                        let count = count.ok_or_else(|| {
                            Refusal::InvalidSeats(format!(
                                "`seats` must be at least 1, and {MOST_NEW_SEATS} in one request"
                            ))
                        })?;
                        (1..=count).map(|number| number.to_string()).collect()
                    }
                };
                left = left.saturating_sub(seats.len());
                rows.push(NewRow { section: section.name.clone(), name, rank: rank.0, seats });
            }
        }
        Ok(rows)
    }
}

/// Returns rows as text, for the fingerprint of their request.
pub(super) fn text_of_rows(rows: &[NewRow]) -> String {
    let row = |row: &NewRow| json!([row.section, row.name, row.rank, row.seats]);
    Value::Array(rows.iter().map(row).collect()).to_string()
}

/// What a ticket type has after seats were added.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SeatsAdded")]
pub struct SeatsBody {
    /// The ticket type's id.
    pub(super) product_id: i64,
    /// The seats that were added.
    pub(super) seats: i64,
    /// All seats of the ticket type now: its stock.
    pub(super) stock: i64,
}
