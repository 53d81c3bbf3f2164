//! Lists that are read page by page: the size of a page, and cursors, which name a list and a position in it.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, NaiveDateTime};
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

/// Reads the limit of a page and the position behind which it begins. `list` is the list that a cursor must name.
///
/// # Errors
/// 400 `invalid_limit`, 400 `invalid_cursor`.
pub fn read_page<P: Display + FromStr>(
    list: &str,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<(u32, Option<P>), Problem> {
    let limit = limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(Problem::bad_request("invalid_limit", "`limit` must be from 1 to 100."));
    }
    let behind = cursor.map(|cursor| {
        let detail = "`cursor` must be the `next_cursor` of a previous page of this list.";
        read_cursor(list, cursor).ok_or_else(|| Problem::bad_request("invalid_cursor", detail))
    });
    Ok((limit, behind.transpose()?))
}

/// Returns the cursor of the page that begins behind `place`.
pub fn write_cursor(list: &str, place: impl Display) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{list}{place}"))
}

/// Returns the place that a cursor of this list names; `None` when it is none.
pub fn read_cursor<P: Display + FromStr>(list: &str, cursor: &str) -> Option<P> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let place: P = std::str::from_utf8(&bytes).ok()?.strip_prefix(list)?.parse().ok()?;
    (write_cursor(list, &place) == cursor).then_some(place)
}

/// Returns the name of a list with a digest of its filters, to which its cursors are bound.
pub fn filtered(list: &str, filter: impl Debug) -> String {
    let digest = Sha256::digest(format!("{filter:?}"));
    let digest = digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("{list}?{digest}:")
}

/// Parses a time, converted to UTC, that the database can compare with. `name` is that of its parameter.
///
/// # Errors
/// 400 `invalid_time`.
pub fn read_time(name: &str, text: &str) -> Result<NaiveDateTime, Problem> {
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.naive_utc());
    time.filter(|time| (1970..=9998).contains(&time.year())).ok_or_else(|| {
        let detail = format!("`{name}` must be an RFC 3339 time, such as 2026-01-02T03:04:05Z.");
        Problem::bad_request("invalid_time", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cursor_that_was_issued_for_the_list_is_accepted() {
        for id in [1, 42, i64::MAX] {
            assert_eq!(read_cursor("p", &write_cursor("p", id)), Some(id));
            assert_eq!(read_cursor("dead:", &write_cursor("dead:", id)), Some(id));
            assert_eq!(read_cursor::<i64>("parked:", &write_cursor("dead:", id)), None);
        }
        for cursor in ["", "1", "p1", "cDE=", "cC0", "cCsx", "cDAx", "////", "ä"] {
            assert_eq!(read_cursor::<i64>("p", cursor), None, "{cursor}");
        }
        for cursor in ["", "dead:1", "ZGVhZDox=", "ZGVhZDorMQ", "ZGVhZDo"] {
            assert_eq!(read_cursor::<i64>("dead:", cursor), None, "{cursor}");
        }
    }
}
