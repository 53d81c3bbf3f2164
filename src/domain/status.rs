//! The states of holds, orders and payment events, under the names that the database and the API share.

/// A closed set of words: every value has one fixed lower-case name, the same in SQL and in JSON.
pub trait Named: Copy + Send + Sync + 'static {
    /// The name of the set in its schema.
    const SET: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// Returns the name of this value.
    fn as_str(self) -> &'static str;

    /// Returns the value of that name, if there is one.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.as_str() == name)
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $crate::domain::Named for $name {
            const SET: &'static str = stringify!($name);
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str($crate::domain::Named::as_str(*self))
            }
        }
    };
}
pub(crate) use named;

named! {
    /// The state of a hold. An ordered hold follows its order from then on.
    HoldStatus {
        /// Its units are reserved until it expires.
        Active = "active",
        /// It became an order.
        Ordered = "ordered",
        /// The buyer released it.
        Released = "released",
        /// It expired.
        Expired = "expired",
    }
}

named! {
    /// The state of an order.
    OrderStatus {
        /// Waits for its payment until `pay_by`.
        Pending = "pending",
        /// A charge paid it.
        Paid = "paid",
        /// The payment failed, the buyer cancelled, or no payment came in time; its units are back on sale.
        Cancelled = "cancelled",
        /// It was paid, and the money was refunded.
        Refunded = "refunded",
    }
}

named! {
    /// The state of an event in the inbox.
    EventStatus {
        /// Durable, not yet applied.
        Received = "received",
        /// Its order does not exist yet.
        Parked = "parked",
        /// It changed its order.
        Applied = "applied",
        /// It changed nothing, correctly.
        Ignored = "ignored",
        /// It does not fit its order, and waits for an operator.
        Quarantined = "quarantined",
        /// Money was taken that pays for no order.
        RefundDue = "refund_due",
        /// That money was refunded.
        Refunded = "refunded",
        /// It could not be applied, and is not tried again.
        Dead = "dead",
        /// It names no order or hold of this shop; it waits for an event that links it to one.
        Unmatched = "unmatched",
    }
}

named! {
    /// The state of the money of a charge.
    ChargeStatus {
        /// It paid its order.
        Paid = "paid",
        /// It pays for no order.
        RefundDue = "refund_due",
        /// All of it was refunded.
        Refunded = "refunded",
    }
}
