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
        FIND_TERMS = "find_terms",
        LIST = "list",
        LIST_SOME = "list_some",
        INSERT = "insert",
        RESERVE = "reserve",
        GIVE_BACK = "give_back",
    }
    holds {
        INSERT = "insert",
        FIND = "find",
        FIND_NEXT_DUE = "find_next_due",
        FIND_SUPPLY = "find_supply",
        LIST_UNITS = "list_units",
        LIST_DUE = "list_due",
        LIST_DUE_OF_PRODUCT = "list_due_of_product",
        SET_TERMS = "set_terms",
        MARK_ORDERED = "mark_ordered",
        RELEASE = "release",
        SETTLE = "settle",
        EXPIRE = "expire",
        EXPIRE_OVERDUE = "expire_overdue",
    }
    orders {
        SET_TERMS = "set_terms",
        INSERT = "insert",
        FIND_TERMS = "find_terms",
        FIND = "find",
        FIND_BY_HOLD = "find_by_hold",
        FIND_NEXT_DUE = "find_next_due",
        LIST_DUE = "list_due",
        MARK_PAID = "mark_paid",
        MARK_ALL_PAID = "mark_all_paid",
        REFUND = "refund",
        CANCEL = "cancel",
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
        FIND = "find",
        FIND_BY_KEY = "find_by_key",
        FIND_NEXT_DUE = "find_next_due",
        LIST_IDS = "list_ids",
        LIST_DUE = "list_due",
        LIST_READY = "list_ready",
        LIST_WAITING_FOR = "list_waiting_for",
        COUNT_OPEN = "count_open",
        COUNT_WAITING_SUCCESSES = "count_waiting_successes",
        CLAIM = "claim",
        LEASE = "lease",
        PARK = "park",
        POSTPONE = "postpone",
        BURY = "bury",
        REPLAY = "replay",
        SETTLE = "settle",
        MARK_REFUNDED = "mark_refunded",
    }
    payment_event_trail {
        INSERT = "insert",
    }
    charges {
        INSERT = "insert",
        INSERT_ALL_PAID = "insert_all_paid",
        FIND = "find",
        LIST_OF = "list_of",
        REFUND = "refund",
    }
    schema_migrations {
        CREATE = "create",
        INSERT = "insert",
        LIST = "list",
        COUNT_TABLES = "count_tables",
        FIND_LATEST = "find_latest",
    }
    idempotency_keys {
        INSERT = "insert",
        LIST = "list",
        ANSWER = "answer",
        DELETE = "delete",
        DELETE_OLD = "delete_old",
    }
}
