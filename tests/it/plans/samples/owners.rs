//! Samples of the tables of owners.

use chrono::{NaiveDate, NaiveDateTime};
use uuid::Uuid;

use super::super::fill::*;
use super::{At, Sample, built, bytes, hits, ids, place, take};

pub(super) fn of_holds(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let list = hits(rows).bind("first", bytes(Uuid::nil())).bind("limit", rows).bind("client_id", 1);
    // from the newest on, and from the middle on
    let lists = [Uuid::max(), hold(PAID.end / 2)].map(|behind| list.clone().bind("behind", bytes(behind)));
    Some(match verb {
        "insert" => built(rows, take(rows)),
        "list" => vec![hits(rows).brace("ids", ids(hold, &PAID, rows))],
        _ => listed(verb, lists.into())?,
    })
}

pub(super) fn of_orders(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "insert" => built(at.rows, place(at.rows)),
        _ => listed(verb, places(at).into_iter().map(|list| list.bind("client_id", 1)).collect())?,
    })
}

fn listed(verb: &str, lists: Vec<Sample>) -> Option<Vec<Sample>> {
    let by = |name: &'static str| lists.iter().cloned().map(|list| list.bind(name, "busy")).collect();
    Some(match verb {
        "list_of_client" => lists,
        "list_of_buyer" => by("buyer"),
        "list_of_reference" => by("reference"),
        "list_clients" => vec![hits(1)],
        _ => return None,
    })
}

/// Pages of orders: the first one, and one from the middle on.
pub(super) fn places(at: At) -> Vec<Sample> {
    let (begin, end) = (NaiveDate::from_ymd_opt(1000, 1, 1), NaiveDate::from_ymd_opt(9999, 12, 1));
    let [begin, end]: [NaiveDateTime; 2] = [begin, end].map(|day| day.expect("a date").into());
    let number = PAID.end / 2;
    let places = [(end, Uuid::nil()), (at.world.received_at(number), order(number))];
    let list = hits(at.rows).bind("from", begin).bind("limit", at.rows);
    places.map(|(time, id)| list.clone().bind("at", time).bind("id", bytes(id))).into()
}
