//! Samples of clients, their keys and their trail, and of the operators who acted.

use holdfast::db::literal;

use super::super::fill::*;
use super::{At, NEW, Sample, event, hits, once, some};

/// A revoked client.
const REVOKED: i64 = 100_000;

fn client(client_id: i64) -> Sample {
    hits(1).bind("client_id", client_id)
}

pub(super) fn clients(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let digest = || vec![7_u8; 32];
    Some(match verb {
        "insert" => once(at, hits(1).bind("name", "new").bind("role", "gate").bind("token_digest", digest())),
        "find" => once(at, client(1)).into_iter().chain(once(at, client(REVOKED))).collect(),
        "find_id" => once(at, hits(1).bind("name", "client-7")),
        "list" => {
            vec![hits(rows).bind("after", 0).bind("limit", rows), hits(rows).bind("after", 50_000).bind("limit", rows)]
        }
        "list_live" => vec![hits(rows).bind("limit", rows)],
        "count_change" => once(at, client(1)),
        "rotate" => once(at, client(2).bind("token_digest", digest()).bind("end_old", false)),
        "end_old" => once(at, Sample { page: 1, ..hits(0) }.bind("client_id", 3)),
        "revoke" => once(at, client(4)),
        _ => return None,
    })
}

pub(super) fn client_keys(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let key = |client_id: i64| client(client_id).bind("kid", "key 1");
    Some(match verb {
        "insert" => {
            let new = client(NEW).bind("kid", "key 9").bind("public_key", "00".repeat(32));
            once(at, new.bind("most", 4))
        }
        "find" | "delete" => once(at, key(9)),
        "list" => {
            let ids: Vec<i64> = some(&LIVE_CLIENTS, rows).map(|id| id + 100).collect();
            vec![hits(rows * 4).brace("ids", literal::numbers(&ids))]
        }
        _ => return None,
    })
}

pub(super) fn client_trail(verb: &str, at: At) -> Option<Vec<Sample>> {
    let change = |id: u8| hits(1).bind("change_id", vec![id; 16]);
    Some(match verb {
        "insert" => {
            let words = [("action", "added"), ("detail", "gate"), ("operator", "operator")];
            once(
                at,
                words.into_iter().fold(change(1).bind("client_id", 1), |sample, (name, word)| sample.bind(name, word)),
            )
        }
        "find" => once(at, Sample { page: 1, ..hits(0) }.bind("change_id", vec![2_u8; 16])),
        "list" => vec![hits(at.rows).bind("client_id", 1).bind("before", i64::MAX).bind("limit", at.rows)],
        _ => return None,
    })
}

pub(super) fn payment_event_operators(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "insert" | "insert_last" => once(at, event(&QUARANTINED).bind("operator", "operator")),
        _ => return None,
    })
}
