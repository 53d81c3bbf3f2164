//! Samples of endpoints, their trail, and what was pushed to them.

use holdfast::db::tables::push_attempts::{self, NewAttempt};
use holdfast::db::tables::push_cursors;
use holdfast::db::tables::push_failures::{self, Undelivered};
use holdfast::domain::AttemptOutcome;

use super::super::fill::{LIVE_ENDPOINTS, PUSHING};
use super::{At, NEW, Sample, built, hits, once};

/// A disabled endpoint.
const DISABLED: i64 = 100_000;

fn endpoint(endpoint_id: i64) -> Sample {
    hits(1).bind("endpoint_id", endpoint_id)
}

pub(super) fn endpoints(verb: &str, at: At) -> Option<Vec<Sample>> {
    let (rows, live) = (at.rows, LIVE_ENDPOINTS.start);
    let secret = || vec![7_u8; 32];
    let terms = |sample: Sample| {
        sample.bind("url", "https://shop.example/new").bind("types", "order.paid").bind("enabled", true)
    };
    Some(match verb {
        "insert" => once(at, terms(hits(1)).bind("client_id", 1).bind("secret", secret())),
        "find" => once(at, endpoint(live)).into_iter().chain(once(at, endpoint(DISABLED))).collect(),
        "list" => {
            vec![hits(rows).bind("after", 0).bind("limit", rows), hits(rows).bind("after", 50_000).bind("limit", rows)]
        }
        "find_live" => once(at, endpoint(live)),
        "list_of_client" => once(at, Sample { page: 1, ..hits(1) }.bind("client_id", live)),
        "count_change" => once(at, endpoint(live)),
        "change" => once(at, terms(endpoint(live + 1))),
        "rotate" => once(at, endpoint(live + 2).bind("secret", secret()).bind("end_old", false)),
        "end_old" => once(at, Sample { page: 1, ..hits(0) }.bind("endpoint_id", live + 3)),
        "disable" => once(at, endpoint(live + 4).bind("reason", "failing")),
        "mark_deleted" => once(at, endpoint(live + 5)),
        "note_attempt" => {
            let attempt = endpoint(live + 6).bind("outcome", "refused").bind("status", 503).bind("answer", "busy");
            once(at, attempt.bind("is_delivered", false))
        }
        _ => return None,
    })
}

pub(super) fn endpoint_trail(verb: &str, at: At) -> Option<Vec<Sample>> {
    let change = |id: u8| hits(1).bind("change_id", vec![id; 16]);
    Some(match verb {
        "insert" => {
            let words = [("action", "added"), ("detail", "{}"), ("operator", "operator")];
            let new = change(1).bind("endpoint_id", 1);
            once(at, words.into_iter().fold(new, |sample, (name, word)| sample.bind(name, word)))
        }
        "find" => once(at, Sample { page: 1, ..hits(0) }.bind("change_id", vec![2_u8; 16])),
        "list" => vec![hits(at.rows).bind("endpoint_id", 1).bind("before", i64::MAX).bind("limit", at.rows)],
        _ => return None,
    })
}

pub(super) fn push_cursors(verb: &str, at: At) -> Option<Vec<Sample>> {
    let (rows, live) = (at.rows, LIVE_ENDPOINTS.start);
    let held = |sample: Sample| sample.bind("holder", vec![7_u8; 16]);
    Some(match verb {
        "insert" => once(at, endpoint(NEW).bind("epoch", 1).bind("position", 1)),
        "find" => once(at, held(endpoint(live)).bind("seconds", 60)),
        "list_free" => vec![held(hits(rows)).bind("limit", rows)],
        "take" => once(at, held(endpoint(live + 1)).bind("seconds", 30)),
        "release" => once(at, held(endpoint(live + 2))),
        "move_on" => {
            let names = ["is_replay", "is_delivered", "is_failed"];
            let flags = names.into_iter().fold(held(endpoint(live + 3)), |sample, name| sample.bind(name, true));
            let numbers = [("epoch", 1), ("position", 9), ("replay_position", 9), ("attempts", 1), ("rounds", 0)];
            once(at, numbers.into_iter().fold(flags, |sample, (name, number)| sample.bind(name, number)))
        }
        "replay" => once(at, endpoint(live + 4).bind("position", 1).bind("until", 2).bind("is_open", false)),
        "begin_anew" => once(at, endpoint(live + 5)),
        "void_rounds" => once(at, hits(1)),
        "list_ahead" => once(at, hits(1)),
        "bring_back" => {
            let endpoints: Vec<i64> = (live..live + rows).collect();
            built(rows, [push_cursors::bring_back_text(&endpoints, -1)])
        }
        _ => return None,
    })
}

pub(super) fn push_failures(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "list_waiting" => vec![hits(rows).bind("endpoint_id", PUSHING).bind("limit", rows)],
        "list" => vec![hits(rows).bind("endpoint_id", PUSHING).bind("after", 0).bind("limit", rows)],
        "make_due" => once(at, endpoint(LIVE_ENDPOINTS.start)),
        "make_due_between" => {
            let range = |last: i64| hits(last).bind("endpoint_id", PUSHING).bind("first", 1).bind("last", last);
            vec![range(rows)]
        }
        "put" => {
            let undelivered = |position| Undelivered {
                position,
                row_position: position,
                order_id: None,
                attempts: 1,
                happened_at: at.world.now,
                again_in: None,
            };
            let new: Vec<Undelivered> = (1..=rows).map(undelivered).collect();
            built(rows, [push_failures::put_text(NEW, &new)])
        }
        "delete" => built(rows, [push_failures::delete_text(PUSHING, &(1..=rows).collect::<Vec<_>>())]),
        "delete_behind" => {
            let endpoints: Vec<i64> = (1000..1000 + rows).collect();
            built(rows, [push_failures::delete_behind_text(&endpoints, 0)])
        }
        _ => return None,
    })
}

pub(super) fn push_attempts(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let pushing = |sample: Sample| sample.bind("endpoint_id", PUSHING);
    Some(match verb {
        "insert" => {
            let attempt = |position| NewAttempt {
                position,
                event_id: "evt_1".to_owned(),
                attempt: 1,
                outcome: AttemptOutcome::Refused,
                status: Some(503),
                answer: b"busy".to_vec(),
                duration_ms: 1,
            };
            let new: Vec<NewAttempt> = (1..=rows).map(attempt).collect();
            built(rows, [push_attempts::insert_text(NEW, 1, &new)])
        }
        "list" => vec![pushing(hits(rows)).bind("before", i64::MAX).bind("limit", rows)],
        "forget" => vec![pushing(hits(rows)).bind("first", rows + 1)],
        _ => return None,
    })
}
