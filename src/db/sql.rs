//! Every statement of the service, read from `sql/<table>/<verb>.sql`; the constant has the same name as its file.

macro_rules! statements {
    ($($table:ident { $($name:ident = $verb:literal),+ $(,)? })+) => {
        $(
            #[doc = concat!("Statements on `", stringify!($table), "`.")]
            pub mod $table {
                $(
                    #[doc = concat!("`sql/", stringify!($table), "/", $verb, ".sql`")]
                    pub const $name: &str =
                        include_str!(concat!("../../sql/", stringify!($table), "/", $verb, ".sql"));
                )+
            }
        )+

        /// Every statement under its file's name, `<table>/<verb>`.
        pub const ALL: &[(&str, &str)] = &[
            $($((concat!(stringify!($table), "/", $verb), $table::$name)),+),+
        ];
    };
}

statements! {
    products {
        FIND_LEFT = "find_left",
        LIST = "list",
        LIST_SOME = "list_some",
        LIST_RESERVED = "list_reserved",
        INSERT = "insert",
        TAKE = "take",
        RESERVE = "reserve",
        GIVE_BACK = "give_back",
    }
    holds {
        INSERT = "insert",
        FIND = "find",
        FIND_NEXT_DUE = "find_next_due",
        FIND_SUPPLY = "find_supply",
        FIND_SUPPLY_WITHIN = "find_supply_within",
        LIST_UNITS = "list_units",
        LIST_DUE = "list_due",
        LIST_DUE_OF_PRODUCT = "list_due_of_product",
        MARK_ORDERED = "mark_ordered",
        RELEASE = "release",
        SETTLE = "settle",
        EXPIRE = "expire",
        EXPIRE_OVERDUE = "expire_overdue",
    }
    orders {
        INSERT = "insert",
        FIND_TERMS = "find_terms",
        FIND = "find",
        FIND_BY_HOLD = "find_by_hold",
        FIND_NEXT_DUE = "find_next_due",
        LIST_DUE = "list_due",
        LIST_TOUCHED = "list_touched",
        MARK_PAID = "mark_paid",
        MARK_ALL_PAID = "mark_all_paid",
        REFUND = "refund",
        CANCEL = "cancel",
        COUNT_FAILED_ATTEMPT = "count_failed_attempt",
    }
    order_events {
        INSERT = "insert",
        INSERT_FOR_PAYMENT = "insert_for_payment",
        INSERT_ALL_PAID = "insert_all_paid",
        LIST = "list",
    }
    payment_events {
        INSERT = "insert",
        INSERT_APPLIED = "insert_applied",
        INSERT_SETTLED = "insert_settled",
        FIND = "find",
        FIND_BY_KEY = "find_by_key",
        FIND_NEXT_DUE = "find_next_due",
        LIST_IDS = "list_ids",
        FIND_ID_STEP = "find_id_step",
        LIST_GENERATED = "list_generated",
        LIST_DUE = "list_due",
        LIST_READY = "list_ready",
        LIST_WAITING_FOR = "list_waiting_for",
        COUNT_OPEN = "count_open",
        COUNT_UNMATCHED_SUCCESSES = "count_unmatched_successes",
        COUNT_WAITING_SUCCESSES = "count_waiting_successes",
        CLAIM = "claim",
        LEASE = "lease",
        LEASE_ALL = "lease_all",
        LIST_LEASED = "list_leased",
        MARK_ALL_APPLIED = "mark_all_applied",
        PARK = "park",
        POSTPONE = "postpone",
        BURY = "bury",
        REPLAY = "replay",
        MATCH = "match",
        SETTLE = "settle",
        MARK_REFUNDED = "mark_refunded",
        LIST_IDS_BY_STATE = "list_ids_by_state",
        LIST_IDS_BY_AGE = "list_ids_by_age",
        LIST_IDS_OF_ORDER = "list_ids_of_order",
        LIST_IDS_OF_HOLD = "list_ids_of_hold",
        FIND_NEXT = "find_next",
        FIND_LAST = "find_last",
        LIST_LINES = "list_lines",
        FIND_ALL = "find_all",
        LIST_REFUNDS = "list_refunds",
        MARK_REFUND_DONE = "mark_refund_done",
        DISMISS = "dismiss",
    }
    payment_event_deliveries {
        INSERT = "insert",
        CORRECT = "correct",
        LIST_IDS_OF_CHARGE = "list_ids_of_charge",
        LIST = "list",
    }
    payment_event_quarantines {
        INSERT = "insert",
        DISMISS = "dismiss",
        FIND_DISMISSAL = "find_dismissal",
    }
    payment_event_trail {
        INSERT = "insert",
        LIST = "list",
    }
    payment_links {
        INSERT = "insert",
        LIST = "list",
    }
    unmatched_objects {
        INSERT = "insert",
        LIST_WAITING = "list_waiting",
        LIST_OF_EVENT = "list_of_event",
        LIST_PAGE = "list_page",
        DELETE = "delete",
    }
    charges {
        INSERT = "insert",
        INSERT_ALL_PAID = "insert_all_paid",
        COUNT_PAID = "count_paid",
        FIND = "find",
        LIST_OF = "list_of",
        REFUND = "refund",
        MARK_REFUND_DONE = "mark_refund_done",
        INSERT_REFUND_DONE = "insert_refund_done",
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
        TOUCH = "touch",
        UPDATE_NOTHING = "update_nothing",
        INSERT_NO_HOLDS = "insert_no_holds",
        INSERT_NO_ORDERS = "insert_no_orders",
        INSERT_NO_ORDER_EVENTS = "insert_no_order_events",
        INSERT_NO_PAYMENT_EVENTS = "insert_no_payment_events",
        INSERT_NO_PAYMENT_EVENT_DELIVERIES = "insert_no_payment_event_deliveries",
        INSERT_NO_CHARGES = "insert_no_charges",
        INSERT_NO_IDEMPOTENCY_KEYS = "insert_no_idempotency_keys",
    }
    idempotency_keys {
        INSERT = "insert",
        LIST = "list",
        ANSWER = "answer",
        DELETE = "delete",
        LIST_OLD = "list_old",
    }
    audit {
        APPLIED_EVENT_WITHOUT_EFFECT = "applied_event_without_effect",
        CHARGE_REFUND_MISMATCH = "charge_refund_mismatch",
        CHARGE_STATUS_MISMATCH = "charge_status_mismatch",
        CHARGE_WITHOUT_EVENT = "charge_without_event",
        COUNT_OWN_STATEMENTS = "count_own_statements",
        COUNT_STATEMENTS = "count_statements",
        EVENT_NEVER_DUE = "event_never_due",
        EVENT_SETTLED_WRONGLY = "event_settled_wrongly",
        FIND_PAGE_OF_CHARGES = "find_page_of_charges",
        FIND_PAGE_OF_HOLDS = "find_page_of_holds",
        FIND_PAGE_OF_ORDER_EVENTS = "find_page_of_order_events",
        FIND_PAGE_OF_ORDERS = "find_page_of_orders",
        FIND_PAGE_OF_PAYMENT_EVENTS = "find_page_of_payment_events",
        FIND_TIME = "find_time",
        HOLD_DEADLINE_TOO_LATE = "hold_deadline_too_late",
        HOLD_ORDER_MISMATCH = "hold_order_mismatch",
        HOLD_RETURNS_WRONGLY = "hold_returns_wrongly",
        HOLD_WITHOUT_PRODUCT = "hold_without_product",
        LIST_PRODUCTS = "list_products",
        ORDER_DEADLINE_TOO_LATE = "order_deadline_too_late",
        ORDER_PAID_TWICE = "order_paid_twice",
        ORDER_REFUND_MISMATCH = "order_refund_mismatch",
        ORDER_STATUS_UNEXPLAINED = "order_status_unexplained",
        ORDER_WITHOUT_CHARGE = "order_without_charge",
        ORDER_WITHOUT_HOLD = "order_without_hold",
        SUCCESS_DEAD = "success_dead",
        SUCCESS_IGNORED_WRONGLY = "success_ignored_wrongly",
        SUCCESS_WITHOUT_CHARGE = "success_without_charge",
        SUCCESS_WITHOUT_ORDER = "success_without_order",
        SUM_CHARGES = "sum_charges",
        SUM_DUE_CHARGES = "sum_due_charges",
        SUM_EVENTS = "sum_events",
        SUM_HOLDS = "sum_holds",
        SUM_TRAILS = "sum_trails",
        SUM_TRANSITIONS = "sum_transitions",
        SUM_UNITS = "sum_units",
        SUM_WAITING_SUCCESSES = "sum_waiting_successes",
        TRAIL_BROKEN = "trail_broken",
        TRANSITION_EVENT_MISMATCH = "transition_event_mismatch",
        TRANSITION_NOT_ALLOWED = "transition_not_allowed",
        TRANSITION_WITHOUT_ORDER = "transition_without_order",
    }
}
