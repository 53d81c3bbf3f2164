//! The metrics. All names stand in this file.

use std::time::Duration;

use chrono::TimeDelta;
use metrics::{counter, gauge, histogram};

use super::statsd;
use crate::domain::{AttemptOutcome, Named as _, QuarantineReason};

/// Holds taken.
const HOLDS_CREATED: &str = "holds.created";
/// Holds refused, by `reason` (a refusal's code).
const HOLDS_REFUSED: &str = "holds.refused";
/// Holds released by their buyers.
const HOLDS_RELEASED: &str = "holds.released";
/// Orders made.
const ORDERS_CREATED: &str = "orders.created";
/// Orders cancelled by their buyers.
const ORDERS_CANCELLED: &str = "orders.cancelled";
/// Requests that got the response of an earlier one with the same idempotency key, by `operation`.
const IDEMPOTENT_REPLAYS: &str = "idempotency.replayed";
/// Webhook deliveries, by `outcome` (`processed`, `duplicate`, `queued`, `parked`, `ignored`, `quarantined`,
/// `refund_due`, `unmatched`).
const WEBHOOK_DELIVERIES: &str = "webhook.deliveries";
/// Events that were quarantined, by `reason` (the check that failed).
const WEBHOOK_QUARANTINED: &str = "webhook.quarantined";
/// Events that waited and got their outcome, by `outcome`.
const WEBHOOK_WOKEN: &str = "webhook.woken";
/// The time to apply an event, from its arrival or, if it had waited, from the beginning of the attempt, in ms.
const WEBHOOK_PROCESSING: &str = "webhook.processing_ms";
/// Further attempts to apply an event.
const WEBHOOK_RETRIED: &str = "webhook.retried";
/// Events in the inbox that may require action by an operator, by `state`; of unmatched ones only the successes, which are
/// money of another shop as far as is known.
const INBOX_DEPTH: &str = "inbox.depth";
/// How long the oldest event has waited to be applied, in seconds.
const INBOX_OLDEST: &str = "inbox.oldest_unapplied_s";
/// What ended with cancelled events, by `kind` (hold, order, refund: a due refund that was written).
const EVENT_ENDED: &str = "events.ended";
/// Events that got their positions in the feed.
const FEED_EVENTS: &str = "feed.events";
/// How long the oldest event without a position has waited for one, in seconds.
const FEED_LAG: &str = "feed.lag_s";
/// How long the last walk over all products took, in seconds: about as long after it, a change by another hand is told.
const FEED_WALK: &str = "feed.walk_s";
/// Attempts to push an event, by `outcome`.
const PUSH_ATTEMPTS: &str = "push.attempts";
/// How long ago the oldest event happened that an endpoint does not have, in seconds, by `endpoint` (its id), where this instance pushes.
const PUSH_OLDEST: &str = "push.oldest_undelivered_s";
/// Endpoints that were disabled, since they had failed for too long.
const PUSH_DISABLED: &str = "push.disabled";
/// Rows that expired, by `kind` (hold, order).
const EXPIRED: &str = "expiry.expired";
/// The time from when a row was due until its units were given back, in ms, by `kind`.
const EXPIRY_LAG: &str = "expiry.lag_ms";
/// Rows that expired and whose units cannot be given back, by `kind` (hold, order); counted at each attempt, about once a
/// minute. Of a missing product, only those of the set in which it was found.
const PASSED_OVER: &str = "expiry.passed_over";
/// How far the database's clock is ahead of this machine's, in seconds; negative: behind.
const CLOCK_DIFFERENCE: &str = "clock.difference_s";
/// Times that the database's clock jumped.
const CLOCK_JUMPS: &str = "clock.jumps";
/// 1 while nothing expires because the database's clock has jumped, 0 otherwise.
const EXPIRY_PAUSED: &str = "expiry.paused";
/// Worker steps that failed, by `worker`.
const WORKER_FAILED: &str = "worker.failed";
/// Transactions from first attempt to commit, in ms, by `transaction`.
const TRANSACTION: &str = "db.transaction_ms";
/// Attempts that were run again, by `transaction` and `code` (the server's error code, or another cause).
const TRANSACTION_RETRIED: &str = "db.retries";
/// Transactions given up, by `transaction`.
const TRANSACTION_GIVEN_UP: &str = "db.given_up";
/// Guarded updates that matched no row, because another transaction was first or the stock too small, by `guard`.
const GUARD_MISSED: &str = "db.guard_missed";
/// The time that a transaction waits for a connection, in ms.
const POOL_WAIT: &str = "db.pool_wait_ms";
/// Open connections.
const POOL_CONNECTIONS: &str = "db.connections";
/// Connections in use.
const POOL_IN_USE: &str = "db.connections_in_use";
/// 1 while the database is available, 0 while it is not and requests are refused for that.
const DATABASE_AVAILABLE: &str = "db.available";
/// Requests for operators' routes without a sufficient token, by `reason` (missing, wrong, forbidden).
const ADMIN_REFUSED: &str = "admin.refused";
/// The same for other routes.
const CALLERS_REFUSED: &str = "callers.refused";
/// Requests that were refused because their caller sent too many, by `kind` (reads, writes, webhooks, admin).
const RATE_LIMITED: &str = "http.rate_limited";
/// Duration of requests, in ms, by `method`, `route` (its pattern) and `status`.
const REQUEST: &str = "http.request_ms";
/// Log lines that were dropped because standard error was not read in time or could not be written.
const LOG_DROPPED: &str = "log.dropped";

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub(crate) fn hold_created() {
    counter!(HOLDS_CREATED).increment(1);
}

pub(crate) fn hold_refused(reason: &'static str) {
    counter!(HOLDS_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn hold_released() {
    counter!(HOLDS_RELEASED).increment(1);
}

pub(crate) fn order_created() {
    counter!(ORDERS_CREATED).increment(1);
}

pub(crate) fn order_cancelled() {
    counter!(ORDERS_CANCELLED).increment(1);
}

pub(crate) fn replayed(operation: &'static str) {
    counter!(IDEMPOTENT_REPLAYS, "operation" => operation).increment(1);
}

pub(crate) fn webhook_delivered(outcome: &'static str) {
    counter!(WEBHOOK_DELIVERIES, "outcome" => outcome).increment(1);
}

pub(crate) fn webhook_quarantined(reason: QuarantineReason) {
    counter!(WEBHOOK_QUARANTINED, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn webhook_woken(outcome: &'static str, took: Duration) {
    counter!(WEBHOOK_WOKEN, "outcome" => outcome).increment(1);
    webhook_processed(took);
}

pub(crate) fn webhook_processed(took: Duration) {
    histogram!(WEBHOOK_PROCESSING).record(ms(took));
}

pub(crate) fn webhook_given_up() {
    counter!(WEBHOOK_WOKEN, "outcome" => "dead").increment(1);
}

pub(crate) fn webhook_retried(events: u64) {
    counter!(WEBHOOK_RETRIED).increment(events);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of events")]
pub(crate) fn inbox_depth(state: &'static str, count: i64) {
    gauge!(INBOX_DEPTH, "state" => state).set(count as f64);
}

pub(crate) fn inbox_oldest(age: Duration) {
    gauge!(INBOX_OLDEST).set(age.as_secs_f64());
}

pub(crate) fn event_ended(kind: &'static str, count: u64) {
    if count > 0 {
        counter!(EVENT_ENDED, "kind" => kind).increment(count);
    }
}

pub(crate) fn feed_told(events: i64) {
    counter!(FEED_EVENTS).increment(u64::try_from(events).unwrap_or(0));
}

pub(crate) fn feed_walked(took: Duration) {
    gauge!(FEED_WALK).set(took.as_secs_f64());
}

pub(crate) fn push_attempted(outcome: AttemptOutcome) {
    counter!(PUSH_ATTEMPTS, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn push_waits(endpoint_id: i64, oldest: Duration) {
    gauge!(PUSH_OLDEST, "endpoint" => endpoint_id.to_string()).set(oldest.as_secs_f64());
}

pub(crate) fn endpoint_disabled() {
    counter!(PUSH_DISABLED).increment(1);
}

pub(crate) fn feed_waits(waited: Duration) {
    gauge!(FEED_LAG).set(waited.as_secs_f64());
}

pub(crate) fn expired(kind: &'static str, lags: impl ExactSizeIterator<Item = Duration>) {
    counter!(EXPIRED, "kind" => kind).increment(lags.len() as u64);
    if let Some(worst) = lags.max() {
        histogram!(EXPIRY_LAG, "kind" => kind).record(ms(worst));
    }
}

pub(crate) fn passed_over(kind: &'static str, rows: u64) {
    counter!(PASSED_OVER, "kind" => kind).increment(rows);
}

pub(crate) fn clock_read(ahead: TimeDelta, paused: bool) {
    gauge!(CLOCK_DIFFERENCE).set(ahead.as_seconds_f64());
    gauge!(EXPIRY_PAUSED).set(if paused { 1.0 } else { 0.0 });
}

pub(crate) fn clock_jumped() {
    counter!(CLOCK_JUMPS).increment(1);
}

pub(crate) fn worker_failed(worker: &'static str) {
    counter!(WORKER_FAILED, "worker" => worker).increment(1);
}

pub(crate) fn transaction_done(name: &'static str, took: Duration) {
    histogram!(TRANSACTION, "transaction" => name).record(ms(took));
}

pub(crate) fn transaction_retried(name: &'static str, code: &str) {
    counter!(TRANSACTION_RETRIED, "transaction" => name, "code" => code.to_owned()).increment(1);
}

pub(crate) fn transaction_given_up(name: &'static str) {
    counter!(TRANSACTION_GIVEN_UP, "transaction" => name).increment(1);
}

pub(crate) fn guard_missed(guard: &'static str) {
    counter!(GUARD_MISSED, "guard" => guard).increment(1);
}

pub(crate) fn pool_waited(waited: Duration) {
    histogram!(POOL_WAIT).record(ms(waited));
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of connections")]
pub(crate) fn pool_use((existing, in_use): (usize, usize)) {
    gauge!(POOL_CONNECTIONS).set(existing as f64);
    gauge!(POOL_IN_USE).set(in_use as f64);
}

pub(crate) fn database_available(is_available: bool) {
    gauge!(DATABASE_AVAILABLE).set(f64::from(u8::from(is_available)));
}

pub(crate) fn admin_refused(reason: &'static str) {
    counter!(ADMIN_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn caller_refused(reason: &'static str) {
    counter!(CALLERS_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn rate_limited(kind: &'static str) {
    counter!(RATE_LIMITED, "kind" => kind).increment(1);
}

pub(crate) fn request_done(method: &'static str, route: &str, status: u16, took: Duration) {
    // building the label strings allocates on every request: skip it when no StatsD server is configured
    if !statsd::is_on() {
        return;
    }
    let route = route.to_owned();
    histogram!(REQUEST, "method" => method, "route" => route, "status" => status.to_string()).record(ms(took));
}

pub(super) fn log_dropped(lines: u64) {
    counter!(LOG_DROPPED).increment(lines);
}
