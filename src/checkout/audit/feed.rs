//! The feed: each transition that a trail has was told, positions have no gap, and endpoints have it up to their cursors.

use std::collections::HashMap;

use serde::Deserialize;
use uuid::Uuid;

use super::{Audit, COUNTER_WINDOW};
use crate::db::tables::feed;
use crate::db::views::audit::{self, ENDPOINTS, FEED, FeedSum, Finding, Kind, ORDERS};
use crate::db::{Failure, Tx};
use crate::domain::feed::is_transition;

/// Rows of the feed that are read as a whole at a time: each may have a hundred events.
const ROWS: u32 = 200;
/// Endpoints that are read at a time: each may have more than a hundred events that it has not accepted.
const PUSHED: u32 = 20;

/// What the audit reads of an event.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    order_id: Option<Uuid>,
}

impl Audit {
    /// Adds up what is told, and checks the positions.
    pub(super) async fn add_up_feed(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let (mut placed, mut last, mut first) = (0, 0, Some(FEED.first()));
        while let Some(page) = self.next_page(tx, &FEED, &mut first).await? {
            let sum: FeedSum = audit::sum_feed(tx, &page).await?;
            self.sums.told -= sum.transitions;
            placed += sum.placed;
            last = last.max(sum.last);
            if sum.odd > 0 {
                self.make_own_checks(tx, &FEED, &page).await?;
            }
        }
        let position = feed::find(tx).await?.position;
        if (placed, last) != (position, position) {
            let detail = format!(
                "the counter is at {position}, the last position is {last}, and {placed} events have positions"
            );
            self.findings.add([Finding { kind: Kind::FeedPositionWrong, id: "feed".to_owned(), detail }]);
        }
        Ok(())
    }

    /// Checks how far each endpoint has the feed.
    pub(super) async fn look_at_endpoints(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut first = Some(ENDPOINTS.first());
        while let Some(page) = self.next_page_of(tx, &ENDPOINTS, &mut first, PUSHED).await? {
            self.make_own_checks(tx, &ENDPOINTS, &page).await?;
        }
        Ok(())
    }

    /// Compares the trail of each order with what was told of it. Returns how many differ.
    pub(super) async fn compare_told(&mut self, tx: &mut Tx<'_>) -> Result<usize, Failure> {
        let (mut wrong, mut first) = (0, Some(ORDERS.first()));
        while let Some(window) = self.next_page_of(tx, &ORDERS, &mut first, COUNTER_WINDOW).await? {
            let trails = audit::list_told(tx, &window).await?;
            let mut compared: HashMap<Uuid, (i64, i64)> =
                trails.into_iter().map(|(order_id, told)| (order_id, (told, 0))).collect();
            let mut begin = Some(FEED.first());
            while let Some(page) = self.next_page_of(tx, &FEED, &mut begin, ROWS).await? {
                for events in audit::list_feed(tx, &page).await? {
                    let events: Vec<Told> = serde_json::from_slice(&events).unwrap_or_default();
                    let transitions = events.iter().filter(|event| is_transition(&event.kind));
                    for order_id in transitions.filter_map(|event| event.order_id) {
                        if window.has(order_id) {
                            compared.entry(order_id).or_default().1 += 1;
                        }
                    }
                }
            }
            let mut found: Vec<Finding> = compared.into_iter().filter_map(finding).collect();
            found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            wrong += found.len();
            self.findings.add(found);
        }
        Ok(wrong)
    }
}

fn finding((order_id, (transitions, events)): (Uuid, (i64, i64))) -> Option<Finding> {
    let detail = format!("{transitions} of its transitions were told, and the feed has {events} of them");
    (transitions != events).then(|| Finding { kind: Kind::TransitionNotTold, id: order_id.to_string(), detail })
}
