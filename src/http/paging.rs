//! Lists that are read page by page: the size of a page, and cursors, which name a list and a position in it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::problem::Problem;

/// Reads the limit of a page and the position behind which it begins. `list` is the list that a cursor must name.
///
/// # Errors
/// 400 `invalid_limit`, 400 `invalid_cursor`.
pub fn read_page(list: &str, limit: Option<u32>, cursor: Option<&str>) -> Result<(u32, Option<i64>), Problem> {
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

/// Returns the cursor of the page that begins behind `id`.
pub fn write_cursor(list: &str, id: i64) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{list}{id}"))
}

fn read_cursor(list: &str, cursor: &str) -> Option<i64> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let id = std::str::from_utf8(&bytes).ok()?.strip_prefix(list)?.parse().ok()?;
    (write_cursor(list, id) == cursor).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cursor_that_was_issued_for_the_list_is_accepted() {
        for id in [1, 42, i64::MAX] {
            assert_eq!(read_cursor("p", &write_cursor("p", id)), Some(id));
            assert_eq!(read_cursor("dead:", &write_cursor("dead:", id)), Some(id));
            assert_eq!(read_cursor("parked:", &write_cursor("dead:", id)), None);
        }
        for cursor in ["", "1", "p1", "cDE=", "cC0", "cCsx", "cDAx", "////", "ä"] {
            assert_eq!(read_cursor("p", cursor), None, "{cursor}");
        }
        for cursor in ["", "dead:1", "ZGVhZDox=", "ZGVhZDorMQ", "ZGVhZDo"] {
            assert_eq!(read_cursor("dead:", cursor), None, "{cursor}");
        }
    }
}
