//! The states of holds, orders and payment events, by the names that the database and the API share.

/// A closed set of words: every value has one fixed lower-case name, the same in SQL and in JSON.
pub trait Named: Copy + Send + Sync + 'static {
    /// What the set is called where its schema is shown.
    const SET: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// The name of this value.
    fn as_str(self) -> &'static str;

    /// The value of that name, if there is one.
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
    /// Where a hold is. An ordered hold follows its order from then on.
    HoldStatus {
        /// Its units are the buyer's until it runs out.
        Active = "active",
        /// It became an order.
        Ordered = "ordered",
        /// The buyer gave it back.
        Released = "released",
        /// It ran out.
        Expired = "expired",
    }
}

named! {
    /// Where an order is.
    OrderStatus {
        /// Waits for its payment until `pay_by`.
        Pending = "pending",
        /// A charge paid it.
        Paid = "paid",
        /// The payment failed, the buyer gave up, or nobody paid in time; its units are back on sale.
        Cancelled = "cancelled",
        /// It was paid, and the money was given back.
        Refunded = "refunded",
    }
}

named! {
    /// Where an event of the inbox is.
    EventStatus {
        /// Durable, not yet applied.
        Received = "received",
        /// Its order does not exist yet.
        Parked = "parked",
        /// It changed its order.
        Applied = "applied",
        /// It changed nothing, and rightly so.
        Ignored = "ignored",
        /// It does not fit its order; somebody has to look at it.
        Quarantined = "quarantined",
        /// Money was taken that pays for nothing.
        RefundDue = "refund_due",
        /// That money was given back.
        Refunded = "refunded",
        /// It could not be applied and is not tried any more.
        Dead = "dead",
        /// It names no order or hold of this shop; it waits for an event that links it to one.
        Unmatched = "unmatched",
    }
}

named! {
    /// Where the money of a charge is.
    ChargeStatus {
        /// It paid its order.
        Paid = "paid",
        /// It pays for nothing.
        RefundDue = "refund_due",
        /// All of it was given back.
        Refunded = "refunded",
    }
}
