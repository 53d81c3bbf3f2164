//! Every statement of the service, read from `sql/<table>/<verb>.sql`, under the same name.
//!
//! A statement whose values are all parameters (`:order_id`) is a constant. A statement with placeholders in braces (`{ids}`)
//! is a type with one field for each: only [`super::literal`] makes their values.

use super::literal::Text;

macro_rules! file {
    ($table:ident $verb:literal) => {
        include_str!(concat!("../../sql/", stringify!($table), "/", $verb, ".sql"))
    };
}

macro_rules! statement {
    ($table:ident $verb:literal $name:ident) => {
        #[doc = concat!("`sql/", stringify!($table), "/", $verb, ".sql`")]
        pub const $name: &str = file!($table $verb);
    };
    ($table:ident $verb:literal $name:ident $($placeholder:ident)+) => {
        #[doc = concat!("`sql/", stringify!($table), "/", $verb, ".sql`")]
        #[derive(Debug, Clone)]
        pub struct $name {
            $(
                #[doc = concat!("The value of `{", stringify!($placeholder), "}`.")]
                pub $placeholder: $crate::db::literal::Text,
            )+
        }

        impl $name {
            /// Returns the text to run.
            pub fn text(&self) -> String {
                $crate::db::sql::fill(file!($table $verb), &[$((stringify!($placeholder), &self.$placeholder)),+])
            }
        }
    };
}

macro_rules! statements {
    ($($table:ident { $($name:ident = $verb:literal $({ $($placeholder:ident),+ })?),+ $(,)? })+) => {
        $(
            #[doc = concat!("Statements on `", stringify!($table), "`.")]
            pub mod $table {
                $(statement!($table $verb $name $($($placeholder)+)?);)+
            }
        )+

        /// Every statement.
        pub const ALL: &[Source] = &[
            $($(
                Source {
                    name: concat!(stringify!($table), "/", $verb),
                    text: file!($table $verb),
                    placeholders: &[$($(stringify!($placeholder)),+)?],
                },
            )+)+
        ];
    };
}

/// A statement as its file has it.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The name of the file, `<table>/<verb>`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The names in braces for which the statement's type has fields.
    pub placeholders: &'static [&'static str],
}

/// Returns the text with the values in the place of their names. Values are not searched for placeholders.
fn fill(text: &str, values: &[(&str, &Text)]) -> String {
    let length: usize = values.iter().map(|(_, value)| value.as_str().len()).sum();
    let mut filled = String::with_capacity(text.len() + length);
    let mut rest = text;
    while let Some((before, name, after)) = next_placeholder(rest) {
        filled.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(value.as_str()),
            // braces of SQL itself, as in a regular expression
            None => filled.extend(["{", name, "}"]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// Returns the text before the next placeholder, its name, and the text after it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

statements! {
    products {
        FindLeft = "find_left" { product_id, hold_id, ttl_seconds },
        FindLeftOnTerms = "find_left_on_terms" { product_id, hold_id },
        LIST = "list",
        ListSome = "list_some" { ids },
        ListBySku = "list_by_sku" { skus },
        ListReserved = "list_reserved" { ids },
        INSERT = "insert",
        InsertAll = "insert_all" { rows },
        Change = "change" {
            product_id, sku, name, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds,
            order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata, count_begins, old_sku, old_name, old_price_minor, old_currency,
            old_status, old_sale_starts_at, old_sale_ends_at, old_hold_ttl_seconds, old_order_ttl_seconds, old_max_qty, old_max_per_buyer,
            old_max_hold_seconds, old_metadata
        },
        CHANGE_STOCK = "change_stock",
        Take = "take" { qty, product_id, price_minor, currency },
        TakeOnTerms = "take_on_terms" {
            qty, product_id, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds, order_ttl_seconds,
            max_qty, max_per_buyer
        },
        TakeAll = "take_all" { units, ids, price_minor, currency },
        TakeTicket = "take_ticket" {
            qty, product_id, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds, order_ttl_seconds,
            max_qty, max_per_buyer, kind, event_sale_starts_at, event_sale_ends_at, event_max_per_buyer
        },
        TakeAllOnTerms = "take_all_on_terms" {
            units, ids, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds, order_ttl_seconds,
            max_qty, max_per_buyer, kind, event_sale_starts_at, event_sale_ends_at, event_max_per_buyer
        },
        InsertTicketType = "insert_ticket_type" { rows },
        ADD_SEATS = "add_seats",
        FindLeftOfAll = "find_left_of_all" { hold_id, product_id, ids },
        RESERVE = "reserve",
        GiveBack = "give_back" { cases, ids },
        FIND_LIMIT = "find_limit",
        FIND_UNCOUNTED = "find_uncounted",
        NOTE_COUNTED = "note_counted",
        GiveBackReplaced = "give_back_replaced" { cases, ids },
        LIST_OF_EVENT = "list_of_event",
        ListBeside = "list_beside" { ids },
        Cancel = "cancel" { event_id, ids },
    }
    organizers {
        INSERT = "insert",
        FIND = "find",
        FIND_BY_CHANGE = "find_by_change",
    }
    events {
        INSERT = "insert",
        FIND_BY_CHANGE = "find_by_change",
        FIND_TERMS = "find_terms",
        ADD_TICKET_TYPE = "add_ticket_type",
        ADD_SEATS = "add_seats",
        ListSome = "list_some" { ids },
        LIST_PAGE = "list_page",
        LIST_PAGE_OF_ORGANIZER = "list_page_of_organizer",
        CANCEL = "cancel",
        SumSold = "sum_sold" { currency, ids },
    }
    event_cancellations {
        INSERT = "insert",
        FIND = "find",
        FIND_OPEN = "find_open",
        CLAIM = "claim",
        NOTE = "note",
    }
    due_refunds {
        ListToWrite = "list_to_write" { event_id, ids, product_id, after, limit },
        Insert = "insert" { rows },
        SETTLE = "settle",
        SETTLE_BY_HAND = "settle_by_hand",
        List = "list" { ids },
        LIST_OPEN = "list_open",
        LIST_OPEN_OF_EVENT = "list_open_of_event",
        COUNT_OPEN = "count_open",
    }
    seats {
        Insert = "insert" { rows },
        LIST = "list",
        LIST_MAP = "list_map",
        ListFree = "list_free" { product_id, limit },
        ListFreeSome = "list_free_some" { product_id, seats },
        Take = "take" { product_id, seats, hold_ids },
        TakeAgain = "take_again" { product_id, hold_id, labels },
        GiveBack = "give_back" { product_id, hold_ids },
        MarkSold = "mark_sold" { hold_ids },
    }
    tickets {
        Insert = "insert" { rows },
        ListUnits = "list_units" { ids },
        Void = "void" { ids },
        VoidOfEvent = "void_of_event" { ids, event_id },
        Redeem = "redeem" { redeemed_by, redeem_key, gate, codes },
        REPLACE = "replace",
        InsertAgain = "insert_again" { rows },
        Find = "find" { code },
        ListByCode = "list_by_code" { codes },
        FIND_ISSUE = "find_issue",
        ListSome = "list_some" { ids, limit },
        LIST_PAGE = "list_page",
    }
    product_trail {
        Insert = "insert" { rows },
        LIST = "list",
        LIST_OF_CHANGE = "list_of_change",
    }
    holds {
        Insert = "insert" { rows },
        InsertWithOrderTime = "insert_with_order_time" { rows },
        InsertCounted = "insert_counted" { rows },
        InsertWithSeats = "insert_with_seats" { rows },
        Find = "find" { ids },
        LIST_IDS = "list_ids",
        FIND_NEXT_DUE = "find_next_due",
        FIND_SUPPLY = "find_supply",
        FindSupplyWithin = "find_supply_within" { product_id, ranges, limit },
        ListUnits = "list_units" { ids },
        ListCounted = "list_counted" { ids },
        LIST_TO_RESERVE = "list_to_reserve",
        LIST_UNCOUNTED = "list_uncounted",
        FIND_PAGE_END = "find_page_end",
        FIND_ANY = "find_any",
        MarkCounted = "mark_counted" { cases, ids, product_id, status, units },
        LIST_DUE = "list_due",
        LIST_DUE_OF_PRODUCT = "list_due_of_product",
        ListDueLines = "list_due_lines" { ids },
        FIND_LIMITS = "find_limits",
        MarkOrdered = "mark_ordered" { order_id, ids, changes },
        MarkOrderedEach = "mark_ordered_each" { order_id, cases, ids, changes },
        Reduce = "reduce" { cases, hold_id, changes },
        Delete = "delete" { hold_id, product_ids },
        EXTEND = "extend",
        RETURN_LATER = "return_later",
        RELEASE = "release",
        ReleaseAll = "release_all" { ids },
        Settle = "settle" { ids },
        Expire = "expire" { ids },
        EXPIRE_OVERDUE = "expire_overdue",
        ListReturning = "list_returning" { ids, limit },
        ReleaseWhole = "release_whole" { ids },
    }
    buyer_units {
        Add = "add" { rows },
        List = "list" { ids },
        ListOver = "list_over" { ids, limit },
    }
    hold_owners {
        Insert = "insert" { rows },
        List = "list" { ids },
        LIST_CLIENTS = "list_clients",
        LIST_OF_CLIENT = "list_of_client",
        LIST_OF_BUYER = "list_of_buyer",
        LIST_OF_REFERENCE = "list_of_reference",
    }
    order_owners {
        Insert = "insert" { rows },
        LIST_CLIENTS = "list_clients",
        LIST_OF_CLIENT = "list_of_client",
        LIST_OF_BUYER = "list_of_buyer",
        LIST_OF_REFERENCE = "list_of_reference",
    }
    orders {
        Insert = "insert" { rows },
        InsertWithSeats = "insert_with_seats" { rows },
        FindTerms = "find_terms" { order_id },
        Find = "find" { ids },
        ListItems = "list_items" { ids },
        FindPlaced = "find_placed" { ids },
        LIST_IDS_BY_AGE = "list_ids_by_age",
        FindByHold = "find_by_hold" { ids },
        ListClients = "list_clients" { ids },
        FIND_NEXT_DUE = "find_next_due",
        LIST_DUE = "list_due",
        ListTouched = "list_touched" { ids, status },
        MARK_PAID = "mark_paid",
        MarkAllPaid = "mark_all_paid" { ids },
        REFUND = "refund",
        Cancel = "cancel" { ids },
        CancelOverdue = "cancel_overdue" { ids },
        EXTEND = "extend",
        COUNT_FAILED_ATTEMPT = "count_failed_attempt",
        Recount = "recount" { ids },
    }
    feed_batches {
        Insert = "insert" { rows },
        FindLast = "find_last" { low },
        FIND_SETTLED = "find_settled",
        ListNew = "list_new" { low, limit },
        LIST_STRAGGLERS = "list_stragglers",
        Number = "number" { cases, ids },
        LIST_PLACES = "list_places",
        LIST_PLACES_OF_CLIENT = "list_places_of_client",
        ListSome = "list_some" { positions },
    }
    feed_products {
        ListSome = "list_some" { ids },
        LIST_PAGE = "list_page",
        Insert = "insert" { rows },
        Turn = "turn" { batch, ids },
        ListTurned = "list_turned" { batch, ids },
    }
    feed {
        FIND = "find",
        Advance = "advance" { items, position },
        SECURE = "secure",
        BEGIN_EPOCH = "begin_epoch",
    }
    order_events {
        Insert = "insert" { rows },
        INSERT_FOR_PAYMENT = "insert_for_payment",
        InsertAllPaid = "insert_all_paid" { rows },
        LIST = "list",
    }
    payment_events {
        INSERT = "insert",
        InsertApplied = "insert_applied" { rows },
        INSERT_SETTLED = "insert_settled",
        FIND = "find",
        FIND_BY_KEY = "find_by_key",
        FIND_NEXT_DUE = "find_next_due",
        ListIds = "list_ids" { rows },
        FIND_ID_STEP = "find_id_step",
        ListGenerated = "list_generated" { last },
        LIST_DUE = "list_due",
        LIST_READY = "list_ready",
        ListWaitingFor = "list_waiting_for" { ids, hold_ids },
        COUNT_OPEN = "count_open",
        COUNT_UNMATCHED_SUCCESSES = "count_unmatched_successes",
        COUNT_WAITING_SUCCESSES = "count_waiting_successes",
        CLAIM = "claim",
        LEASE = "lease",
        LeaseAll = "lease_all" { due_at, ids },
        ListLeased = "list_leased" { ids, due_at },
        MarkAllApplied = "mark_all_applied" { processing_us, ids },
        PARK = "park",
        POSTPONE = "postpone",
        BURY = "bury",
        REPLAY = "replay",
        MATCH = "match",
        SETTLE = "settle",
        MARK_REFUNDED = "mark_refunded",
        ListIdsByState = "list_ids_by_state" { direction },
        ListIdsByAge = "list_ids_by_age" { direction },
        ListIdsOfOrder = "list_ids_of_order" { direction },
        ListHolds = "list_holds" { ids },
        ListIdsOfHold = "list_ids_of_hold" { direction },
        FIND_NEXT = "find_next",
        FIND_LAST = "find_last",
        ListLines = "list_lines" { ids },
        FIND_ALL = "find_all",
        ListRefunds = "list_refunds" { ids },
        MARK_REFUND_DONE = "mark_refund_done",
        DISMISS = "dismiss",
    }
    payment_event_deliveries {
        INSERT = "insert",
        CORRECT = "correct",
        ListIdsOfCharge = "list_ids_of_charge" { direction },
        LIST = "list",
    }
    payment_event_quarantines {
        INSERT = "insert",
        DISMISS = "dismiss",
        FIND_DISMISSAL = "find_dismissal",
    }
    payment_event_operators {
        INSERT = "insert",
        INSERT_LAST = "insert_last",
    }
    payment_event_trail {
        INSERT = "insert",
        LIST = "list",
    }
    payment_links {
        Insert = "insert" { rows },
        List = "list" { provider, ids },
    }
    unmatched_objects {
        Insert = "insert" { rows },
        ListWaiting = "list_waiting" { provider, ids },
        LIST_OF_EVENT = "list_of_event",
        LIST_PAGE = "list_page",
        DELETE = "delete",
    }
    charges {
        INSERT = "insert",
        InsertAllPaid = "insert_all_paid" { rows },
        COUNT_PAID = "count_paid",
        FIND = "find",
        LIST_OF = "list_of",
        REFUND = "refund",
        MARK_REFUND_DONE = "mark_refund_done",
        INSERT_REFUND_DONE = "insert_refund_done",
        NoteDue = "note_due" { ids, refunded, due },
    }
    clients {
        INSERT = "insert",
        FIND = "find",
        FIND_ID = "find_id",
        LIST = "list",
        LIST_LIVE = "list_live",
        COUNT_CHANGE = "count_change",
        ROTATE = "rotate",
        END_OLD = "end_old",
        REVOKE = "revoke",
    }
    client_keys {
        INSERT = "insert",
        FIND = "find",
        List = "list" { ids },
        DELETE = "delete",
    }
    client_trail {
        INSERT = "insert",
        FIND = "find",
        LIST = "list",
    }
    endpoints {
        INSERT = "insert",
        FIND = "find",
        LIST = "list",
        LIST_OF_CLIENT = "list_of_client",
        FIND_LIVE = "find_live",
        COUNT_CHANGE = "count_change",
        CHANGE = "change",
        ROTATE = "rotate",
        END_OLD = "end_old",
        DISABLE = "disable",
        MARK_DELETED = "mark_deleted",
        NOTE_ATTEMPT = "note_attempt",
    }
    endpoint_trail {
        INSERT = "insert",
        FIND = "find",
        LIST = "list",
    }
    push_cursors {
        INSERT = "insert",
        FIND = "find",
        LIST_FREE = "list_free",
        TAKE = "take",
        RELEASE = "release",
        MOVE_ON = "move_on",
        REPLAY = "replay",
        BEGIN_ANEW = "begin_anew",
        LIST_AHEAD = "list_ahead",
        VOID_ROUNDS = "void_rounds",
        BringBack = "bring_back" { position, ids },
    }
    push_failures {
        LIST_WAITING = "list_waiting",
        LIST = "list",
        MAKE_DUE = "make_due",
        MAKE_DUE_BETWEEN = "make_due_between",
        Put = "put" { rows },
        Delete = "delete" { endpoint_id, positions },
        DeleteBehind = "delete_behind" { ids, position },
    }
    push_attempts {
        Insert = "insert" { rows },
        LIST = "list",
        FORGET = "forget",
    }
    inspection {
        LIST_VARIABLES = "list_variables",
        LIST_GRANTS = "list_grants",
        FIND_USER = "find_user",
        FIND_TIME = "find_time",
    }
    schema_migrations {
        CREATE = "create",
        INSERT = "insert",
        LIST = "list",
        COUNT_TABLES = "count_tables",
        FIND_LATEST = "find_latest",
        LIST_LOCK_HOLDERS = "list_lock_holders",
        LIST_OPEN_TRANSACTIONS = "list_open_transactions",
    }
    readiness {
        Touch = "touch" { row },
        UPDATE_NOTHING = "update_nothing",
        INSERT_NO_HOLDS = "insert_no_holds",
        INSERT_NO_ORDERS = "insert_no_orders",
        INSERT_NO_ORDER_EVENTS = "insert_no_order_events",
        INSERT_NO_FEED_BATCHES = "insert_no_feed_batches",
        INSERT_NO_PAYMENT_EVENTS = "insert_no_payment_events",
        INSERT_NO_PAYMENT_EVENT_DELIVERIES = "insert_no_payment_event_deliveries",
        INSERT_NO_CHARGES = "insert_no_charges",
        INSERT_NO_IDEMPOTENCY_KEYS = "insert_no_idempotency_keys",
    }
    idempotency_keys {
        Insert = "insert" { rows },
        List = "list" { ids },
        Answer = "answer" { status, ids },
        Delete = "delete" { ids },
        LIST_OLD = "list_old",
    }
    audit {
        APPLIED_EVENT_WITHOUT_EFFECT = "applied_event_without_effect",
        CHARGE_REFUND_MISMATCH = "charge_refund_mismatch",
        CHARGE_STATUS_MISMATCH = "charge_status_mismatch",
        CHARGE_WITHOUT_EVENT = "charge_without_event",
        COUNT_OWN_STATEMENTS = "count_own_statements",
        COUNT_STATEMENTS = "count_statements",
        DUE_REFUND_MISSING = "due_refund_missing",
        DUE_REFUND_WRONG = "due_refund_wrong",
        EVENT_NOT_ENDED = "event_not_ended",
        FIND_PAGE_OF_DUE_REFUNDS = "find_page_of_due_refunds",
        FIND_PAGE_OF_ENDINGS = "find_page_of_endings",
        EVENT_NEVER_DUE = "event_never_due",
        EVENT_SETTLED_WRONGLY = "event_settled_wrongly",
        FEED_GAP = "feed_gap",
        PUSH_CURSOR_WRONG = "push_cursor_wrong",
        PUSH_FAILURE_WRONG = "push_failure_wrong",
        FIND_LIMITS = "find_limits",
        FIND_PAGE_OF_CHARGES = "find_page_of_charges",
        FIND_PAGE_OF_COUNTERS = "find_page_of_counters",
        FIND_PAGE_OF_FEED = "find_page_of_feed",
        FIND_PAGE_OF_ENDPOINTS = "find_page_of_endpoints",
        FIND_PAGE_OF_HOLDS = "find_page_of_holds",
        FIND_PAGE_OF_ORDER_EVENTS = "find_page_of_order_events",
        FIND_PAGE_OF_ORDERS = "find_page_of_orders",
        FIND_PAGE_OF_PAYMENT_EVENTS = "find_page_of_payment_events",
        FIND_PAGE_OF_PRODUCT_TRAIL = "find_page_of_product_trail",
        FIND_PAGE_OF_SEATS = "find_page_of_seats",
        FIND_PAGE_OF_TICKETS = "find_page_of_tickets",
        FIND_TICKETS = "find_tickets",
        FIND_TIME = "find_time",
        HOLD_DEADLINE_TOO_LATE = "hold_deadline_too_late",
        HOLD_LINES_DIFFER = "hold_lines_differ",
        HOLD_ORDER_MISMATCH = "hold_order_mismatch",
        HOLD_RETURNS_WRONGLY = "hold_returns_wrongly",
        HOLD_WITHOUT_PRODUCT = "hold_without_product",
        LIST_COUNTED = "list_counted",
        LIST_COUNTERS = "list_counters",
        LIST_FEED = "list_feed",
        LIST_PRODUCTS = "list_products",
        LIST_TOLD = "list_told",
        ORDER_DEADLINE_TOO_LATE = "order_deadline_too_late",
        ORDER_PAID_TWICE = "order_paid_twice",
        ORDER_REFUND_MISMATCH = "order_refund_mismatch",
        ORDER_STATUS_UNEXPLAINED = "order_status_unexplained",
        ORDER_TOTAL_MISMATCH = "order_total_mismatch",
        ORDER_WITHOUT_CHARGE = "order_without_charge",
        ORDER_WITHOUT_HOLD = "order_without_hold",
        PRODUCT_TRAIL_BROKEN = "product_trail_broken",
        SEAT_SOLD_WRONGLY = "seat_sold_wrongly",
        TICKETS_DIFFER = "tickets_differ",
        TICKET_WRONG = "ticket_wrong",
        SEAT_WITHOUT_HOLD = "seat_without_hold",
        SUCCESS_DEAD = "success_dead",
        SUCCESS_IGNORED_WRONGLY = "success_ignored_wrongly",
        SUCCESS_WITHOUT_CHARGE = "success_without_charge",
        SUCCESS_WITHOUT_ORDER = "success_without_order",
        SUM_CHARGES = "sum_charges",
        SUM_COUNTED = "sum_counted",
        SUM_COUNTERS = "sum_counters",
        SUM_DUE_CHARGES = "sum_due_charges",
        SUM_EVENTS = "sum_events",
        SUM_FEED = "sum_feed",
        SUM_HOLDS = "sum_holds",
        SUM_LINES = "sum_lines",
        SUM_PRODUCT_TRAIL = "sum_product_trail",
        SUM_SEATS = "sum_seats",
        SUM_TOTALS = "sum_totals",
        SUM_TRAILS = "sum_trails",
        SUM_TRANSITIONS = "sum_transitions",
        SUM_UNITS = "sum_units",
        SUM_WAITING_SUCCESSES = "sum_waiting_successes",
        TRAIL_BROKEN = "trail_broken",
        TRANSITION_EVENT_MISMATCH = "transition_event_mismatch",
        TRANSITION_NOT_ALLOWED = "transition_not_allowed",
        TRANSITION_WITHOUT_ORDER = "transition_without_order",
        UNITS_NOT_COUNTED = "units_not_counted",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::db::literal::{Literal, list};

    #[test]
    fn every_statement_has_exactly_the_placeholders_of_its_type() {
        for Source { name, text, placeholders } in ALL {
            let mut found = BTreeSet::new();
            let mut rest = *text;
            while let Some((_, placeholder, after)) = next_placeholder(rest) {
                found.insert(placeholder);
                rest = after;
            }
            // not the braces of regular expressions
            found.retain(|placeholder| placeholder.starts_with(|first: char| first.is_ascii_lowercase()));
            assert_eq!(found, placeholders.iter().copied().collect(), "{name}");
        }
    }

    #[test]
    fn a_value_stands_wherever_its_name_stood_and_is_not_filled_itself() {
        let (one, other) = (list([Literal::Number(1), Literal::Number(2)]), Literal::Word("{one}").into());
        let filled = fill("a {one} b {other} c {one} d {0,9}", &[("one", &one), ("other", &other)]);
        assert_eq!(filled, "a 1, 2 b '{one}' c 1, 2 d {0,9}");
    }
}
