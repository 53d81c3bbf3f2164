//! What a transaction tells: events for the feed, written with its COMMIT.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::literal::{Literal, rows};
use super::sql;
use crate::domain::{Audience, FeedItem, FeedType, Named as _, mint_id};
use crate::telemetry;

/// The most events of one row: a page reads whole rows.
pub(super) const ITEMS: usize = 100;

/// The reason of a transition that has no other one than its payment.
const NO_REASON: &str = "none";

/// Events that a transaction tells, in their order.
#[derive(Debug, Default)]
pub struct Told(Vec<FeedItem>);

impl Told {
    /// Adds events.
    pub fn extend(&mut self, items: impl IntoIterator<Item = FeedItem>) {
        self.0.extend(items);
    }

    /// Reports the transitions of orders and the redeemed tickets among them, which are committed now. Returns the holds whose units were sold.
    pub(super) fn report(&self) -> Vec<Uuid> {
        let mut counts: BTreeMap<(&'static str, Option<&'static str>), u64> = BTreeMap::new();
        for item in &self.0 {
            *counts.entry(item.kind()).or_default() += 1;
        }
        for ((kind, reason), count) in counts {
            if let Some(transition) = kind.strip_prefix("order.") {
                telemetry::order_moved(transition, reason.unwrap_or(NO_REASON), count);
            } else if kind == FeedType::TicketRedeemed.as_str() {
                telemetry::tickets_redeemed(count);
            }
        }
        self.0.iter().filter_map(FeedItem::sold).collect()
    }

    /// Returns the statement that writes the events, in rows for each audience; `None` without events.
    pub fn statement(&self) -> Option<String> {
        let mut by_audience: BTreeMap<Audience, Vec<&FeedItem>> = BTreeMap::new();
        for item in &self.0 {
            by_audience.entry(item.audience).or_default().push(item);
        }
        let parts =
            by_audience.iter().flat_map(|(&audience, items)| items.chunks(ITEMS).map(move |part| (audience, part)));
        let parts: Vec<(Audience, &[&FeedItem], String)> =
            parts.map(|(audience, part)| (audience, part, text(part))).collect();
        (!parts.is_empty()).then(|| sql::feed_batches::Insert { rows: rows(parts.iter().map(row)) }.text())
    }
}

fn row<'a>((audience, items, text): &'a (Audience, &[&FeedItem], String)) -> [Literal<'a>; 5] {
    let transitions = items.iter().filter(|item| item.is_transition()).count();
    [
        Literal::Number(audience.stored()),
        Literal::Count(items.len() as u64),
        Literal::Count(transitions as u64),
        Literal::Id(mint_id()),
        Literal::plain(text),
    ]
}

/// Returns events as they are stored: a list in JSON.
fn text(items: &[&FeedItem]) -> String {
    serde_json::to_string(items).unwrap_or_default()
}
