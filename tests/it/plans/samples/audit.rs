//! Samples of the audit.

use mysql_async::Value;
use uuid::Uuid;

use super::super::fill::*;
use super::{MANY, Sample, bytes, hits, page};

/// A page of charges, which lie in the order of their names.
fn charges_between(rows: i64) -> Vec<Sample> {
    let page = |page: Sample, [first, last]: [String; 2], provider: &str| {
        page.bind("first_provider", "default")
            .bind("first_name", first)
            .bind("last_provider", provider)
            .bind("last_name", last)
    };
    let name = |number: i64| format!("charge {number}");
    let some = |first: i64| page(self::page(rows), [name(first), name(first + rows - 1)], "default");
    let rest = page(self::page(11), [name(9999), String::new()], &"\u{7f}".repeat(64));
    let first_page =
        page(self::page(rows), [String::new(), name(100_000 + rows)], "default").bind("first_provider", "");
    let mut pages = vec![some(150_001), some(REFUND_DUE.start)];
    if rows == 1 {
        pages.push(rest);
    }
    if rows == MANY {
        pages.push(first_page);
    }
    pages
}

/// A page of rows between two keys.
fn between(rows: i64, first: impl Into<Value>, last: impl Into<Value>) -> Sample {
    page(rows).bind("first", first).bind("last", last)
}

fn ids_between(of: fn(i64) -> Uuid, rows: i64) -> Vec<Sample> {
    // finished rows, and the border between finished and open rows
    let page = |first: i64| between(rows, bytes(of(first)), bytes(of(first + rows - 1)));
    vec![page(50_001), page(CANCELLED.end - rows / 2)]
}

fn numbers_between(rows: i64) -> Vec<Sample> {
    let page = |first: i64| between(rows, first, first + rows - 1).bind("all", true);
    vec![page(50_001), page(REFUNDED.end - rows / 2), page(REFUND_DUE.start), page(UNMATCHED.start)]
}

pub(super) fn audit(verb: &str, rows: i64) -> Option<Vec<Sample>> {
    let from = |first: Value| page(rows).bind("first", first).bind("offset", rows - 1).bind("limit", rows);
    let from_name = |provider: &str, name: &str| {
        page(rows).bind("first_provider", provider).bind("first_name", name).bind("offset", rows - 1)
    };
    Some(match verb {
        "find_time" => vec![hits(1)],
        "find_page_of_holds" => vec![from(bytes(Uuid::nil())), from(bytes(hold(100_000)))],
        "find_page_of_orders" => vec![from(bytes(Uuid::nil())), from(bytes(order(100_000)))],
        "find_page_of_charges" => vec![from_name("", ""), from_name("default", "charge 150001")],
        "find_page_of_endpoints"
        | "find_page_of_feed"
        | "find_page_of_order_events"
        | "find_page_of_payment_events"
        | "find_page_of_product_trail" => {
            vec![from(i64::MIN.into()), from(100_000.into())]
        }
        "list_products" => vec![hits(rows).bind("first", i64::MIN).bind("limit", rows)],
        "count_statements" | "count_own_statements" => vec![hits(1)],
        "hold_deadline_too_late"
        | "hold_lines_differ"
        | "hold_order_mismatch"
        | "hold_returns_wrongly"
        | "hold_without_product"
        | "sum_holds"
        | "sum_lines" => ids_between(hold, rows),
        "order_paid_twice"
        | "order_refund_mismatch"
        | "order_status_unexplained"
        | "order_without_charge"
        | "order_without_hold"
        | "order_deadline_too_late"
        | "order_total_mismatch"
        | "list_told"
        | "sum_totals"
        | "sum_trails"
        | "sum_units"
        | "trail_broken" => ids_between(order, rows),
        "charge_refund_mismatch" | "charge_status_mismatch" | "charge_without_event" | "sum_charges" => {
            charges_between(rows)
        }
        "applied_event_without_effect"
        | "event_never_due"
        | "event_settled_wrongly"
        | "feed_gap"
        | "list_feed"
        | "product_trail_broken"
        | "push_cursor_wrong"
        | "push_failure_wrong"
        | "success_dead"
        | "success_ignored_wrongly"
        | "success_without_charge"
        | "success_without_order"
        | "sum_due_charges"
        | "sum_events"
        | "sum_feed"
        | "sum_product_trail"
        | "sum_transitions"
        | "sum_waiting_successes"
        | "transition_event_mismatch"
        | "transition_not_allowed"
        | "transition_without_order" => numbers_between(rows),
        _ => return None,
    })
}
