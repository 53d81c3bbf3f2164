//! The table of all metrics. A new metric is one entry here, and a function in `metrics.rs` that records it.

use super::row::{Counter, Gauge, Histogram, Kind, Row, Timer, Unit};
use Unit::{Count, Flag, Milliseconds, Seconds};

/// Defines a constant for each metric, by which it is recorded, and [`METRICS`]. An entry is `CONSTANT: Kind = name in StatsD, name in
/// Prometheus, unit, [labels];` after its meaning.
macro_rules! table {
    ($($(#[doc = $doc:literal])+ $constant:ident: $kind:ident =
        $statsd:literal, $prometheus:literal, $unit:expr, [$($label:literal),*];)+) => {
        $($(#[doc = $doc])+
        pub(super) const $constant: $kind<{ <[&str]>::len(&[$($label),*]) }> =
            $kind { name: $prometheus, labels: [$($label),*] };)+

        /// All metrics.
        pub const METRICS: &[Row] = &[$(Row {
            constant: stringify!($constant),
            statsd: $statsd,
            prometheus: $prometheus,
            kind: Kind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            meaning: concat!($($doc),+).trim_ascii(),
        }),+];
    };
}

table! {
    /// Holds taken
    HOLDS_CREATED: Counter = "holds.created", "holdfast_holds_created_total", Count("holds"), [];
    /// Holds refused, by the code of the refusal
    HOLDS_REFUSED: Counter = "holds.refused", "holdfast_holds_refused_total", Count("holds"), ["reason"];
    /// Holds released by their buyers
    HOLDS_RELEASED: Counter = "holds.released", "holdfast_holds_released_total", Count("holds"), [];
    /// Orders made
    ORDERS_CREATED: Counter = "orders.created", "holdfast_orders_created_total", Count("orders"), [];
    /// Orders cancelled by their buyers
    ORDERS_CANCELLED: Counter = "orders.cancelled", "holdfast_orders_cancelled_total", Count("orders"), [];
    /// Transitions of orders: `created`, `processing`, `paid`, `cancelled`, `refunded` (all of the payment, or a part of it), and why. Counted by the instance that
    /// made them, once their COMMIT has returned: not those whose COMMIT got no answer
    ORDER_TRANSITIONS: Counter =
        "orders.transitions", "holdfast_orders_transitions_total", Count("transitions"), ["transition", "reason"];
    /// Units of orders that were paid; counted within some seconds, as `orders.transitions`
    UNITS_SOLD: Counter = "units.sold", "holdfast_units_sold_total", Count("units"), [];
    /// Units on sale of the products of which this instance took most holds in the last minutes, by their ids; at most
    /// `HOLDFAST_STOCK_METRICS` of them
    STOCK_LEFT: Gauge = "stock.left", "holdfast_stock_left", Count("units"), ["product"];
    /// Tickets that admitted, as `orders.transitions`
    TICKETS_REDEEMED: Counter = "tickets.redeemed", "holdfast_tickets_redeemed_total", Count("tickets"), [];
    /// Jobs that wait in lanes: requests that are not in a batch yet; read once a second
    BATCH_DEPTH: Gauge = "batch.queue_depth", "holdfast_batch_queue_depth", Count("jobs"), ["kind"];
    /// Jobs of a batch
    BATCH_JOBS: Histogram = "batch.jobs", "holdfast_batch_jobs", Count("jobs"), ["kind"];
    /// The time that a job waits until its first batch starts. How long its transaction takes is in `db.transaction_ms`
    BATCH_WAIT: Timer = "batch.wait_ms", "holdfast_batch_wait_seconds", Milliseconds, ["kind"];
    /// Requests that got the response of an earlier one with the same idempotency key
    IDEMPOTENT_REPLAYS: Counter =
        "idempotency.replayed", "holdfast_idempotency_replayed_total", Count("requests"), ["operation"];
    /// Webhook deliveries, by what became of them: `processed`, `duplicate`, `queued`, `parked`, `ignored`, `quarantined`,
    /// `refund_due`, `unmatched`
    WEBHOOK_DELIVERIES: Counter =
        "webhook.deliveries", "holdfast_webhook_deliveries_total", Count("deliveries"), ["outcome"];
    /// Events that were quarantined, by the check that failed
    WEBHOOK_QUARANTINED: Counter =
        "webhook.quarantined", "holdfast_webhook_quarantined_total", Count("events"), ["reason"];
    /// Events that waited and got their outcome
    WEBHOOK_WOKEN: Counter = "webhook.woken", "holdfast_webhook_woken_total", Count("events"), ["outcome"];
    /// The time to apply an event, from its arrival or, if it had waited, from the beginning of the attempt
    WEBHOOK_PROCESSING: Timer = "webhook.processing_ms", "holdfast_webhook_processing_seconds", Milliseconds, [];
    /// Further attempts to apply an event
    WEBHOOK_RETRIED: Counter = "webhook.retried", "holdfast_webhook_retried_total", Count("attempts"), [];
    /// Events in the inbox that may require action by an operator; of unmatched ones only the successes, which are money of another
    /// shop as far as is known
    INBOX_DEPTH: Gauge = "inbox.depth", "holdfast_inbox_depth", Count("events"), ["state"];
    /// How long the oldest event has waited to be applied
    INBOX_OLDEST: Gauge = "inbox.oldest_unapplied_s", "holdfast_inbox_oldest_unapplied_seconds", Seconds, [];
    /// Charges of cancelled events that must be given back, in whole or in part
    REFUNDS_DUE: Gauge = "refunds.due", "holdfast_refunds_due", Count("charges"), [];
    /// Findings of the last audit: of `GET /api/admin/audit` by this instance, or of `holdfast audit` with a StatsD server
    AUDIT_FINDINGS: Gauge = "audit.findings", "holdfast_audit_findings", Count("findings"), [];
    /// What ended with cancelled events: `hold`, `order`, `refund` (a due refund that was written)
    EVENT_ENDED: Counter = "events.ended", "holdfast_events_ended_total", Count("rows"), ["kind"];
    /// Events that got their positions in the feed
    FEED_EVENTS: Counter = "feed.events", "holdfast_feed_events_total", Count("events"), [];
    /// How long the oldest event without a position has waited for one
    FEED_LAG: Gauge = "feed.lag_s", "holdfast_feed_lag_seconds", Seconds, [];
    /// How long the last walk over all products took: about as long after it, a change by another hand is told
    FEED_WALK: Gauge = "feed.walk_s", "holdfast_feed_walk_seconds", Seconds, [];
    /// Attempts to push an event
    PUSH_ATTEMPTS: Counter = "push.attempts", "holdfast_push_attempts_total", Count("attempts"), ["outcome"];
    /// How long ago the oldest event happened that an endpoint does not have, by its id, where this instance pushes
    PUSH_OLDEST: Gauge =
        "push.oldest_undelivered_s", "holdfast_push_oldest_undelivered_seconds", Seconds, ["endpoint"];
    /// Endpoints that were disabled, since they had failed for too long
    PUSH_DISABLED: Counter = "push.disabled", "holdfast_push_disabled_total", Count("endpoints"), [];
    /// Rows that expired: `hold`, `order`
    EXPIRED: Counter = "expiry.expired", "holdfast_expiry_expired_total", Count("rows"), ["kind"];
    /// The time from when a row was due until its units were given back, of the latest row of a step
    EXPIRY_LAG: Timer = "expiry.lag_ms", "holdfast_expiry_lag_seconds", Milliseconds, ["kind"];
    /// Rows that expired and whose units cannot be given back; counted at each attempt, about once a minute. Of a missing product, only
    /// those of the set in which it was found
    PASSED_OVER: Counter = "expiry.passed_over", "holdfast_expiry_passed_over_total", Count("rows"), ["kind"];
    /// How far the database's clock is ahead of this machine's; negative: behind
    CLOCK_DIFFERENCE: Gauge = "clock.difference_s", "holdfast_clock_difference_seconds", Seconds, [];
    /// Times that the database's clock jumped
    CLOCK_JUMPS: Counter = "clock.jumps", "holdfast_clock_jumps_total", Count("jumps"), [];
    /// 1 while nothing expires because the database's clock has jumped
    EXPIRY_PAUSED: Gauge = "expiry.paused", "holdfast_expiry_paused", Flag, [];
    /// Steps of workers that failed
    WORKER_FAILED: Counter = "worker.failed", "holdfast_worker_failed_total", Count("steps"), ["worker"];
    /// The time to commit: transactions and reads from their first attempt to their end, retries and the wait for a connection included
    TRANSACTION: Timer = "db.transaction_ms", "holdfast_db_transaction_seconds", Milliseconds, ["transaction"];
    /// Attempts that were run again, by the server's error code or another cause
    TRANSACTION_RETRIED: Counter =
        "db.retries", "holdfast_db_retries_total", Count("attempts"), ["transaction", "code"];
    /// Transactions given up
    TRANSACTION_GIVEN_UP: Counter =
        "db.given_up", "holdfast_db_given_up_total", Count("transactions"), ["transaction"];
    /// Guarded updates that matched no row, because another transaction was first or the stock too small
    GUARD_MISSED: Counter = "db.guard_missed", "holdfast_db_guard_missed_total", Count("statements"), ["guard"];
    /// The time that a transaction waits for a connection
    POOL_WAIT: Timer = "db.pool_wait_ms", "holdfast_db_pool_wait_seconds", Milliseconds, [];
    /// Open connections to the database
    POOL_CONNECTIONS: Gauge = "db.connections", "holdfast_db_connections", Count("connections"), [];
    /// Connections to the database in use
    POOL_IN_USE: Gauge = "db.connections_in_use", "holdfast_db_connections_in_use", Count("connections"), [];
    /// 1 while the database is available, 0 while it is not and requests are refused for that
    DATABASE_AVAILABLE: Gauge = "db.available", "holdfast_db_available", Flag, [];
    /// Requests for operators' routes without a sufficient token: `missing`, `wrong`, `forbidden`
    ADMIN_REFUSED: Counter = "admin.refused", "holdfast_admin_refused_total", Count("requests"), ["reason"];
    /// The same for other routes
    CALLERS_REFUSED: Counter = "callers.refused", "holdfast_callers_refused_total", Count("requests"), ["reason"];
    /// Requests that were refused because their caller sent too many: `reads`, `writes`, `webhooks`, `admin`
    RATE_LIMITED: Counter = "http.rate_limited", "holdfast_http_rate_limited_total", Count("requests"), ["kind"];
    /// Duration of requests, by the pattern of their route
    REQUEST: Timer =
        "http.request_ms", "holdfast_http_request_seconds", Milliseconds, ["method", "route", "status"];
    /// Log lines that were dropped because standard error was not read in time or could not be written
    LOG_DROPPED: Counter = "log.dropped", "holdfast_log_dropped_total", Count("lines"), [];
    /// 1, with the version of the service
    SERVICE_INFO: Gauge = "service.info", "holdfast_service_info", Flag, ["version"];
    /// How long the instance has been running
    SERVICE_UPTIME: Gauge = "service.uptime_s", "holdfast_service_uptime_seconds", Seconds, [];
    /// Lines and values for StatsD that were lost: the server does not resolve or refuses them, the socket is full, or there were too
    /// many series in a second
    STATSD_DROPPED: Counter = "statsd.dropped", "holdfast_statsd_dropped_total", Count("lines"), [];
}
