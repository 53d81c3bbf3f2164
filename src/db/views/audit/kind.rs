//! The kinds of findings, each with the check that finds it.

use crate::db::sql;
use crate::domain::status::named;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $statement:ident),+ $(,)?) => {
        named! {
            /// The kinds of findings. The object that a finding is about stands in brackets.
            Kind {
                $($(#[$doc])* $variant = $name),+,
                /// Its stock is not the sum of its available, held, awaiting and sold units (a product).
                UnitsNotConserved = "units_not_conserved",
                /// It does not have the units of the holds and orders that it counts (a counter, by its id in the table).
                CounterWrong = "counter_wrong",
                /// Its seats are not as many as its stock, or those that are not free not as many as its reserved units (a ticket
                /// type, by its product).
                SeatsNotConserved = "seats_not_conserved",
                /// Its transitions and the events of the feed differ (an order).
                TransitionNotTold = "transition_not_told",
                /// Its events with positions are not as many as its positions (the feed).
                FeedPositionWrong = "feed_position_wrong",
                /// The sums disagree, and no check finds a wrong row (all tables).
                SumsDisagree = "sums_disagree",
            }
        }

        impl Kind {
            /// Returns the check that finds this in one page; `None` for kinds that sums over all pages find.
            pub(super) fn statement(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some(sql::audit::$statement),)+
                    Self::UnitsNotConserved
                    | Self::CounterWrong
                    | Self::SeatsNotConserved
                    | Self::TransitionNotTold
                    | Self::FeedPositionWrong
                    | Self::SumsDisagree => None,
                }
            }
        }
    };
}

kinds! {
    /// It is ordered without an order, or has one without being ordered (a hold).
    HoldOrderMismatch = "hold_order_mismatch" HOLD_ORDER_MISMATCH,
    /// Its units would come back too early, too late, never, or although they are sold (a hold).
    HoldReturnsWrongly = "hold_returns_wrongly" HOLD_RETURNS_WRONGLY,
    /// Its rows have different states, deadlines, currencies or numbers of changes (a hold).
    HoldLinesDiffer = "hold_lines_differ" HOLD_LINES_DIFFER,
    /// Its creation time is in the future, from a clock that ran ahead. It keeps its units too long: release it (a hold).
    HoldDeadlineTooLate = "hold_deadline_too_late" HOLD_DEADLINE_TOO_LATE,
    /// Its product does not exist (a hold).
    HoldWithoutProduct = "hold_without_product" HOLD_WITHOUT_PRODUCT,
    /// Its units are not counted, although its product has a limit per buyer (a hold).
    UnitsNotCounted = "units_not_counted" UNITS_NOT_COUNTED,
    /// Its hold does not exist (an order).
    OrderWithoutHold = "order_without_hold" ORDER_WITHOUT_HOLD,
    /// Its total is not the sum of its lines, or they have another currency (an order).
    OrderTotalMismatch = "order_total_mismatch" ORDER_TOTAL_MISMATCH,
    /// Its creation time is in the future, from a clock that ran ahead. It keeps its units too long: cancel it (an order).
    OrderDeadlineTooLate = "order_deadline_too_late" ORDER_DEADLINE_TOO_LATE,
    /// Its trail does not lead to its state (an order).
    OrderStatusUnexplained = "order_status_unexplained" ORDER_STATUS_UNEXPLAINED,
    /// A transition does not begin where the one before ended (an order).
    TrailBroken = "trail_broken" TRAIL_BROKEN,
    /// More than one payment paid it (an order).
    OrderPaidTwice = "order_paid_twice" ORDER_PAID_TWICE,
    /// It is paid or refunded, and has no charge in that state (an order).
    OrderWithoutCharge = "order_without_charge" ORDER_WITHOUT_CHARGE,
    /// The amounts given back of it and of its charge differ, or it was restocked too early (an order).
    OrderRefundMismatch = "order_refund_mismatch" ORDER_REFUND_MISMATCH,
    /// A transition that is not allowed (an order).
    TransitionNotAllowed = "transition_not_allowed" TRANSITION_NOT_ALLOWED,
    /// A transition whose order does not exist (the order that it names).
    TransitionWithoutOrder = "transition_without_order" TRANSITION_WITHOUT_ORDER,
    /// A transition whose payment event is missing, not applied, of another meaning or of another order (an order).
    TransitionEventMismatch = "transition_event_mismatch" TRANSITION_EVENT_MISMATCH,
    /// It has an outcome without a time of it, or the other way round (a payment event).
    EventSettledWrongly = "event_settled_wrongly" EVENT_SETTLED_WRONGLY,
    /// It waits, and no worker will ever find it (a payment event).
    EventNeverDue = "event_never_due" EVENT_NEVER_DUE,
    /// It is applied and caused no transition, or several (a payment event).
    AppliedEventWithoutEffect = "applied_event_without_effect" APPLIED_EVENT_WITHOUT_EFFECT,
    /// A success with an outcome and without a charge (a payment event).
    SuccessWithoutCharge = "success_without_charge" SUCCESS_WITHOUT_CHARGE,
    /// An applied success whose order is not paid (a payment event).
    SuccessWithoutOrder = "success_without_order" SUCCESS_WITHOUT_ORDER,
    /// An ignored success whose money no other event accounts for (a payment event).
    SuccessIgnoredWrongly = "success_ignored_wrongly" SUCCESS_IGNORED_WRONGLY,
    /// A dead success, which no worker applies any more: replay it (a payment event).
    SuccessDead = "success_dead" SUCCESS_DEAD,
    /// A charge whose event is missing or of another charge (the payment event that it names).
    ChargeWithoutEvent = "charge_without_event" CHARGE_WITHOUT_EVENT,
    /// The states of a charge and of its event disagree (a payment event).
    ChargeStatusMismatch = "charge_status_mismatch" CHARGE_STATUS_MISMATCH,
    /// More was given back than the amount of a charge, or its state does not fit the amount given back (a payment event).
    ChargeRefundMismatch = "charge_refund_mismatch" CHARGE_REFUND_MISMATCH,
    /// A row of its trail changes nothing, or creates it a second time (a product).
    ProductTrailBroken = "product_trail_broken" PRODUCT_TRAIL_BROKEN,
    /// A seat of it is in a hold that is missing, does not name it, or whose units are back on sale (a ticket type, by its product).
    SeatWithoutHold = "seat_without_hold" SEAT_WITHOUT_HOLD,
    /// A seat of it is sold and its order is not paid, or the other way round (a ticket type, by its product).
    SeatSoldWrongly = "seat_sold_wrongly" SEAT_SOLD_WRONGLY,
    /// It was cancelled and does not say so, or its end has passed the holds and some are left (a cancelled event).
    EventNotEnded = "event_not_ended" EVENT_NOT_ENDED,
    /// It paid for an event whose end has passed its order, and no refund of it is due; or it does not count its due refunds (a payment
    /// event).
    DueRefundMissing = "due_refund_missing" DUE_REFUND_MISSING,
    /// A due refund without its charge or a cancelled event, of another amount, or settled too early or not at all (a payment event).
    DueRefundWrong = "due_refund_wrong" DUE_REFUND_WRONG,
    /// Its units of a ticket type do not have one ticket each while it is paid, or have some otherwise (an order).
    TicketsDiffer = "tickets_differ" TICKETS_DIFFER,
    /// A ticket of it is for no unit of it, or for another event or seat, or its times do not fit its state (an order).
    TicketWrong = "ticket_wrong" TICKET_WRONG,
    /// Its events do not follow others (a row of the feed, by the position of its last event).
    FeedGap = "feed_gap" FEED_GAP,
    /// It has no cursor, or one behind the end of the feed (an endpoint).
    PushCursorWrong = "push_cursor_wrong" PUSH_CURSOR_WRONG,
    /// It waits for an event that is not in the feed, or that its cursor has not passed (an endpoint).
    PushFailureWrong = "push_failure_wrong" PUSH_FAILURE_WRONG,
}
