//! Organizers and their events.

use chrono::{Datelike as _, NaiveDateTime};

use super::SaleStatus;
use super::product::{MOST_PER_BUYER, NAME_CHARS, is_name};
use super::refusal::Refusal;
use super::status::named;

named! {
    /// How far the end of an event is.
    EndState {
        /// The event goes on.
        NotCancelled = "not_cancelled",
        /// It was cancelled, and what was sold for it is being ended.
        Running = "running",
        /// All of it has ended.
        Finished = "finished",
    }
}

/// The most seats of an event, of all of its ticket types.
pub const MOST_SEATS: i64 = 100_000;
/// The most ticket types of an event.
pub const MOST_TYPES: i64 = 50;

/// An event as an operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetails {
    /// Who holds it.
    pub organizer_id: i64,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub venue: String,
    /// When it begins, UTC.
    pub starts_at: NaiveDateTime,
    /// When the sale of all of its ticket types begins, UTC; `None`: at once.
    pub sale_starts_at: Option<NaiveDateTime>,
    /// When the sale of all of its ticket types is over, UTC; `None`: never.
    pub sale_ends_at: Option<NaiveDateTime>,
    /// The most units of one buyer, of all of its ticket types together; `None`: no limit.
    pub max_per_buyer: Option<i64>,
}

impl EventDetails {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Refusal::InvalidEvent`] with the first field whose value is not allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let in_years = |time: NaiveDateTime| (1970..=9998).contains(&time.year());
        let is_ordered = self.sale_starts_at.zip(self.sale_ends_at).is_none_or(|(start, end)| start < end);
        let years = "must be in the years 1970 to 9998";
        let checks = [
            ("name", is_name(&self.name), NAME_RULE),
            ("venue", is_name(&self.venue), NAME_RULE),
            ("starts_at", in_years(self.starts_at), years),
            ("sale_starts_at", self.sale_starts_at.is_none_or(in_years), years),
            ("sale_ends_at", self.sale_ends_at.is_none_or(in_years), years),
            ("sale_ends_at", is_ordered, "must be after `sale_starts_at`"),
            ("max_per_buyer", self.max_per_buyer.is_none_or(|most| (1..=MOST_PER_BUYER).contains(&most)), LIMIT_RULE),
        ];
        match checks.into_iter().find(|(_, is_allowed, _)| !is_allowed) {
            Some((field, _, reason)) => Err(Refusal::InvalidEvent { field, reason }),
            None => Ok(()),
        }
    }
}

const NAME_RULE: &str = "must have 1 to 255 characters, and no control characters";
const _: () = assert!(NAME_CHARS == 255, "the rule names it");
const LIMIT_RULE: &str = "must be from 1 to 1000000";
const _: () = assert!(MOST_PER_BUYER == 1_000_000, "the rule names it");

/// Checks the name of an organizer.
///
/// # Errors
/// [`Refusal::InvalidOrganizer`].
pub fn check_organizer(name: &str) -> Result<(), Refusal> {
    if is_name(name) { Ok(()) } else { Err(Refusal::InvalidOrganizer { field: "name", reason: NAME_RULE }) }
}

/// Returns what a buyer is told about the sale of an event: the best of what is told about its ticket types, or `none` without one.
pub fn best_of(types: impl IntoIterator<Item = SaleStatus>, none: SaleStatus) -> SaleStatus {
    let order = [
        SaleStatus::OnSale,
        SaleStatus::AllHeld,
        SaleStatus::Upcoming,
        SaleStatus::Paused,
        SaleStatus::SoldOut,
        SaleStatus::Ended,
        SaleStatus::Cancelled,
    ];
    let place = |status: &SaleStatus| order.iter().position(|known| known == status);
    types.into_iter().min_by_key(place).unwrap_or(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_by_its_best_ticket_type() {
        use SaleStatus::{AllHeld, Cancelled, Ended, OnSale, Paused, SoldOut, Upcoming};
        let worst_first = [Cancelled, Ended, SoldOut, Paused, Upcoming, AllHeld, OnSale];
        for (place, &best) in worst_first.iter().enumerate() {
            assert_eq!(best_of(worst_first[..=place].iter().copied(), OnSale), best);
        }
        assert_eq!(best_of([], Upcoming), Upcoming);
    }
}
