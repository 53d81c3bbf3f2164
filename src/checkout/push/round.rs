//! A round of pushes to one endpoint: what is due, and what is noted of it.

use std::collections::HashSet;
use std::time::Duration;

use chrono::NaiveDateTime;
use uuid::Uuid;

use crate::checkout::feed::reading::{FeedEvent, FeedPage, FeedPlace};
use crate::db::tables::endpoints::LiveEndpoint;
use crate::db::tables::push_attempts::NewAttempt;
use crate::db::tables::push_cursors::{Move, PushCursor};
use crate::db::tables::push_failures::{Undelivered, Waiting};
use crate::domain::AttemptOutcome;
use crate::domain::push_schedule::again_after;
use crate::push::Outcome;
use crate::push::round::End;

/// The most events of an endpoint that wait to be pushed again; beyond, its cursor stops.
pub(super) const WAITING: usize = 100;
/// The most events of a round that were pushed before.
const AGAIN: usize = 25;
/// The most attempts that a round notes, those that failed first.
const NOTED: usize = 20;

/// An event to push.
#[derive(Debug, Clone)]
pub struct PushJob {
    /// The event.
    pub event: FeedEvent,
    /// How many attempts there were; `None`: it does not wait, the cursor has come to it.
    waited: Option<u32>,
    /// Whether it waits for an earlier event of its order, so that it is stored and not pushed.
    pub is_held: bool,
}

/// What is due for an endpoint.
#[derive(Debug)]
pub struct PushRound {
    /// The endpoint.
    pub endpoint: LiveEndpoint,
    /// The events, in the order of the feed.
    pub jobs: Vec<PushJob>,
    /// The time at which it was read, UTC.
    pub now: NaiveDateTime,
    /// Whether another round should follow at once.
    pub has_more: bool,
    /// How long until an event that waits is due.
    pub due_in: Option<Duration>,
    /// Behind which place new events count; `None`: none do, since too many wait.
    pub behind: Option<FeedPlace>,
    /// How long ago the oldest event happened that is not delivered.
    pub oldest: Duration,
    pub(super) cursor: PushCursor,
    pub(super) page: Option<Page>,
    /// Events that wait, and are no longer in the feed.
    pub(super) gone: Vec<i64>,
}

/// How far an instance has read without a note, since there was nothing to push.
#[derive(Debug, Clone, Copy)]
pub struct PushSeen {
    /// The place.
    pub(super) place: FeedPlace,
    /// How many rounds were noted then: after another one, it says nothing.
    pub(super) rounds: i64,
}

/// How far the round moves a cursor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) is_replay: bool,
    pub(super) next: FeedPlace,
}

/// Which of the waiting events are due now.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Those that are, up to a bound.
    pub(super) now: Vec<Waiting>,
    /// Orders with an event that is not, behind which others wait.
    pub(super) blocked: HashSet<Uuid>,
    /// Whether more are due than the bound.
    pub(super) has_more: bool,
    /// How long until the next one is due.
    pub(super) due_in: Option<Duration>,
}

/// Finds what is due: of each order, its events up to the first one that is not.
pub(super) fn find_due(waiting: &[Waiting]) -> Due {
    let mut due = Due::default();
    for event in waiting {
        if event.order_id.is_some_and(|order_id| due.blocked.contains(&order_id)) {
            continue;
        }
        match event.due_in {
            None if due.now.len() < AGAIN => {
                due.now.push(event.clone());
                continue;
            }
            None => due.has_more = true,
            Some(due_in) => due.due_in = Some(due.due_in.map_or(due_in, |least| least.min(due_in))),
        }
        due.blocked.extend(event.order_id);
    }
    due
}

/// Returns what to push: the waiting events that are due, and those of the page that do not wait.
pub(super) fn jobs(waiting: &[Waiting], due: &Due, again: Vec<FeedEvent>, page: Option<FeedPage>) -> Vec<PushJob> {
    let attempts = |position: i64| due.now.iter().find(|event| event.position == position).map(|event| event.attempts);
    let again = again.into_iter().map(|event| PushJob { waited: attempts(event.position), event, is_held: false });
    let mut jobs: Vec<PushJob> = again.collect();
    let known: HashSet<i64> = waiting.iter().map(|event| event.position).collect();
    let is_blocked = |event: &FeedEvent| event.subject().is_some_and(|subject| due.blocked.contains(&subject));
    let items = page.map(|page| page.items).unwrap_or_default();
    let new = items.into_iter().filter(|event| !known.contains(&event.position));
    jobs.extend(new.map(|event| PushJob { is_held: is_blocked(&event), event, waited: None }));
    jobs.sort_by_key(|job| job.event.position);
    jobs
}

/// What is noted of a round.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) to: Move,
    pub(super) undelivered: Vec<Undelivered>,
    /// Events that do not wait any more, or had failed for good and were replayed.
    pub(super) delivered: Vec<i64>,
    pub(super) attempts: Vec<NewAttempt>,
    pub(super) last: Option<Outcome>,
}

impl PushRound {
    /// Whether there is nothing to push and to note.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.gone.is_empty()
    }

    /// How far the round has read the feed, if it is none of a replay.
    pub fn seen(&self) -> Option<PushSeen> {
        self.behind.map(|place| PushSeen { place, rounds: self.cursor.rounds })
    }

    /// How many events the cursor would pass without a note.
    pub fn passed(&self) -> i64 {
        let position = if self.is_replay() { self.cursor.replay_position } else { self.cursor.position };
        self.page.map_or(0, |page| page.next.position - position)
    }

    /// Whether its page is one of a replay.
    pub fn is_replay(&self) -> bool {
        self.page.is_some_and(|page| page.is_replay)
    }

    /// Returns what is noted when the jobs have ended like this.
    pub(super) fn notes(&self, ends: &[End]) -> Notes {
        let pairs = || self.jobs.iter().zip(ends);
        // the cursor stops before those at the end that were left; the others that were left wait beside it
        let of_page = |job: &PushJob| job.waited.is_none();
        let resolved = pairs().filter(|(job, end)| of_page(job) && **end != End::Left);
        let resolved = resolved.map(|(job, _)| job.event.position).max().unwrap_or(0);
        let first_left = pairs().find(|(job, end)| of_page(job) && **end == End::Left && job.event.position > resolved);
        let page = self.page.map(|page| match first_left {
            Some((job, _)) => job.event.position - 1,
            None => page.next.position,
        });
        let mut notes = Notes {
            to: self.moved(page),
            undelivered: Vec::new(),
            delivered: self.gone.clone(),
            attempts: Vec::new(),
            last: None,
        };
        for (job, end) in pairs() {
            notes.add(job, end, resolved, self.is_replay());
        }
        let (failed, mut noted): (Vec<_>, Vec<_>) = std::mem::take(&mut notes.attempts)
            .into_iter()
            .partition(|attempt| attempt.outcome != AttemptOutcome::Delivered);
        let kept = NOTED.saturating_sub(failed.len());
        noted.drain(..noted.len().saturating_sub(kept));
        notes.attempts = failed.into_iter().take(NOTED).chain(noted).collect();
        notes.attempts.sort_by_key(|attempt| attempt.position);
        notes.to.attempts = i64::try_from(notes.attempts.len()).unwrap_or(0);
        notes
    }

    fn moved(&self, page: Option<i64>) -> Move {
        let epoch = self.page.map_or(self.cursor.epoch, |page| page.next.epoch);
        let (position, replay_position) = match page {
            Some(position) if self.is_replay() => (self.cursor.position, Some(position)),
            Some(position) => (position, None),
            None => (self.cursor.position, None),
        };
        let rounds = self.cursor.rounds;
        Move { epoch, position, replay_position, attempts: 0, is_delivered: false, is_failed: false, rounds }
    }
}

impl Notes {
    fn add(&mut self, job: &PushJob, end: &End, resolved: i64, is_replay: bool) {
        let event = &job.event;
        let wait = |attempts, again_in| Undelivered {
            position: event.position,
            row_position: event.row,
            order_id: event.subject(),
            attempts,
            happened_at: event.at,
            again_in,
        };
        let outcome = match end {
            End::Tried(outcome) => outcome,
            // it is due as soon as no earlier one of its order waits
            End::Held if job.waited.is_none() => return self.undelivered.push(wait(0, Some(Duration::ZERO))),
            End::Left if job.waited.is_none() && event.position < resolved => {
                return self.undelivered.push(wait(0, Some(Duration::ZERO)));
            }
            End::Held | End::Left => return,
        };
        let attempt = job.waited.unwrap_or(0) + 1;
        self.attempts.push(NewAttempt {
            position: event.position,
            event_id: event.id(),
            attempt,
            outcome: outcome.kind,
            status: outcome.status,
            answer: outcome.answer.clone(),
            duration_ms: i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX),
        });
        self.last = Some(outcome.clone());
        if end.is_delivered() {
            self.to.is_delivered = true;
            if job.waited.is_some() || is_replay {
                self.delivered.push(event.position);
            }
        } else {
            self.to.is_failed = true;
            self.undelivered.push(wait(attempt, again_after(attempt)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting(position: i64, order: Option<u128>, due_in: Option<u64>) -> Waiting {
        Waiting {
            position,
            row_position: position,
            order_id: order.map(Uuid::from_u128),
            attempts: 2,
            happened_at: NaiveDateTime::default(),
            due_in: due_in.map(Duration::from_secs),
        }
    }

    fn event(position: i64, order: Option<u128>) -> FeedEvent {
        let order_id = order.map(Uuid::from_u128);
        FeedEvent {
            batch: Uuid::nil(),
            number: 0,
            position,
            row: position,
            at: NaiveDateTime::default(),
            told: serde_json::from_value(json!({ "type": "order.paid", "order_id": order_id })).expect("an event"),
            order: None,
            details: None,
        }
    }

    /// A round of a page with these events, behind which the next position is 50, and of waiting ones.
    fn round(again: &[Waiting], page: Vec<FeedEvent>, is_replay: bool) -> PushRound {
        let due = find_due(again);
        let events =
            due.now.iter().map(|due| event(due.position, due.order_id.map(|order_id| order_id.as_u128()))).collect();
        let next = FeedPlace { epoch: 1, position: 50 };
        let jobs = jobs(again, &due, events, Some(FeedPage { items: page, next, is_last: true }));
        let cursor = PushCursor {
            epoch: 1,
            position: 9,
            replay_position: 9,
            replay_until: if is_replay { 60 } else { 0 },
            replay_from: 0,
            replay_is_open: false,
            rounds: 3,
            attempts: 7,
            is_held: true,
            is_failing: false,
            now: NaiveDateTime::default(),
        };
        let endpoint = LiveEndpoint { id: 1, url: String::new(), types: None, client_id: None, secrets: Vec::new() };
        PushRound {
            endpoint,
            jobs,
            now: NaiveDateTime::default(),
            has_more: false,
            due_in: None,
            behind: None,
            oldest: Duration::ZERO,
            cursor,
            page: Some(Page { is_replay, next }),
            gone: Vec::new(),
        }
    }

    fn tried(kind: AttemptOutcome) -> End {
        End::Tried(Outcome { kind, status: None, answer: Vec::new(), duration: Duration::ZERO })
    }

    fn positions(jobs: &[PushJob]) -> Vec<(i64, bool)> {
        jobs.iter().map(|job| (job.event.position, job.is_held)).collect()
    }

    #[test]
    fn events_of_a_hold_wait_behind_a_failed_one_as_those_of_an_order_do() {
        let of_hold = |position| {
            let told = json!({ "type": "hold.created", "hold_id": Uuid::from_u128(7) });
            FeedEvent { told: serde_json::from_value(told).expect("an event"), ..event(position, None) }
        };
        let waiting = [waiting(11, Some(7), Some(5))];
        let due = find_due(&waiting);
        let page = vec![of_hold(12), event(13, Some(8))];
        let next = FeedPlace { epoch: 1, position: 50 };
        let jobs = jobs(&waiting, &due, Vec::new(), Some(FeedPage { items: page, next, is_last: true }));
        assert_eq!(jobs.iter().map(|job| job.is_held).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn of_an_order_its_events_up_to_the_first_that_is_not_due_are_pushed() {
        let again = [
            waiting(1, Some(1), None),
            waiting(2, Some(2), Some(9)),
            waiting(3, Some(1), None),
            waiting(4, Some(2), None),
            waiting(5, None, Some(4)),
            waiting(6, None, None),
            waiting(7, Some(1), Some(6)),
            waiting(8, Some(1), None),
        ];
        let due = find_due(&again);
        assert_eq!(due.now.iter().map(|due| due.position).collect::<Vec<_>>(), [1, 3, 6]);
        assert_eq!((due.due_in, due.has_more), (Some(Duration::from_secs(4)), false));
        let page = vec![event(8, Some(1)), event(10, Some(1)), event(11, Some(2)), event(12, Some(3)), event(13, None)];
        let round = round(&again, page, false);
        let expected = [(1, false), (3, false), (6, false), (10, true), (11, true), (12, false), (13, false)];
        assert_eq!(positions(&round.jobs), expected);
    }

    #[test]
    fn more_due_events_than_a_round_has_hold_back_their_orders() {
        let again: Vec<Waiting> = (1..=30).map(|position| waiting(position, Some(position as u128), None)).collect();
        let due = find_due(&again);
        assert_eq!((due.now.len(), due.has_more, due.blocked.len()), (AGAIN, true, 5));
    }

    #[test]
    fn the_cursor_passes_an_event_only_if_it_was_delivered_or_waits() {
        use AttemptOutcome::{Delivered, Refused};
        let page =
            || vec![event(10, Some(1)), event(12, Some(1)), event(20, Some(2)), event(30, None), event(40, None)];
        let note = |ends: [End; 5], is_replay| {
            let notes = round(&[], page(), is_replay).notes(&ends);
            let waits: Vec<(i64, u32, Option<u64>)> = (notes.undelivered.iter())
                .map(|event| (event.position, event.attempts, event.again_in.map(|again| again.as_secs())))
                .collect();
            (notes.to.position, notes.to.replay_position, waits, notes.delivered)
        };
        let all = || [(); 5].map(|()| tried(Delivered));
        assert_eq!(note(all(), false), (50, None, vec![], vec![]));
        assert_eq!(note(all(), true), (9, Some(50), vec![], vec![10, 12, 20, 30, 40]));
        let failed = [tried(Refused), End::Held, tried(Delivered), tried(Delivered), tried(Delivered)];
        assert_eq!(note(failed, false), (50, None, vec![(10, 1, Some(5)), (12, 0, Some(0))], vec![]));
        let left = [tried(Delivered), End::Left, End::Left, tried(Delivered), End::Left];
        assert_eq!(note(left, false), (39, None, vec![(12, 0, Some(0)), (20, 0, Some(0))], vec![]));
        let none = [(); 5].map(|()| End::Left);
        assert_eq!(note(none, false), (9, None, vec![], vec![]));
    }

    #[test]
    fn a_waiting_event_is_forgotten_when_it_was_delivered_and_has_failed_after_its_last_attempt() {
        use AttemptOutcome::{Delivered, TimedOut};
        let mut last = waiting(1, Some(1), None);
        last.attempts = 7;
        let round = round(&[last, waiting(2, Some(2), None), waiting(3, Some(2), None)], Vec::new(), false);
        let notes = round.notes(&[tried(TimedOut), tried(Delivered), End::Left]);
        assert_eq!((notes.delivered, notes.to.position), (vec![2], 50));
        assert_eq!(notes.undelivered.len(), 1);
        assert_eq!((notes.undelivered[0].attempts, notes.undelivered[0].again_in), (8, None));
        assert_eq!((notes.to.is_delivered, notes.to.is_failed, notes.to.attempts), (true, true, 2));
    }

    #[test]
    fn of_many_attempts_those_that_failed_are_noted_first() {
        use AttemptOutcome::{Delivered, Refused};
        let round = round(&[], (10..50).map(|position| event(position, None)).collect(), false);
        let ends = |failing: usize| -> Vec<End> {
            (0..40).map(|place| tried(if place < failing { Refused } else { Delivered })).collect()
        };
        let noted = |failing| {
            let attempts = round.notes(&ends(failing)).attempts;
            (attempts.len(), attempts.iter().filter(|attempt| attempt.outcome == Refused).count())
        };
        assert_eq!((noted(0), noted(5), noted(40)), ((20, 0), (20, 5), (20, 20)));
    }
}
