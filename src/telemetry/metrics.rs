//! The functions that record metrics. `table.rs` names them; no other part of the service does.

use std::time::Duration;

use chrono::TimeDelta;
use metrics::SharedString;

use super::row::NONE;
use super::table::*;
use crate::domain::{AttemptOutcome, Named as _, QuarantineReason};

pub(crate) fn hold_created() {
    HOLDS_CREATED.add(NONE, 1);
}

pub(crate) fn hold_refused(reason: &'static str) {
    HOLDS_REFUSED.add([reason], 1);
}

pub(crate) fn hold_released() {
    HOLDS_RELEASED.add(NONE, 1);
}

pub(crate) fn order_created() {
    ORDERS_CREATED.add(NONE, 1);
}

pub(crate) fn order_cancelled() {
    ORDERS_CANCELLED.add(NONE, 1);
}

pub(crate) fn order_moved(transition: &'static str, reason: &'static str, orders: u64) {
    ORDER_TRANSITIONS.add([transition, reason], orders);
}

pub(crate) fn units_sold(units: u64) {
    UNITS_SOLD.add(NONE, units);
}

/// `None`: the product is not one of the busiest any more.
#[expect(clippy::cast_precision_loss, reason = "a gauge of units")]
pub(crate) fn stock_left(product_id: i64, units: Option<i64>) {
    STOCK_LEFT.set([product_id.to_string()], units.map_or(f64::NAN, |units| units as f64));
}

pub(crate) fn tickets_redeemed(tickets: u64) {
    TICKETS_REDEEMED.add(NONE, tickets);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of jobs")]
pub(crate) fn jobs_wait(kind: &'static str, jobs: usize) {
    BATCH_DEPTH.set([kind], jobs as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a number of jobs")]
pub(crate) fn batch_starts(kind: &'static str, jobs: usize, waits: impl Iterator<Item = Duration>) {
    BATCH_JOBS.record([kind], jobs as f64);
    BATCH_WAIT.record_all([kind], waits);
}

pub(crate) fn service_runs(since: Duration) {
    SERVICE_INFO.set([env!("CARGO_PKG_VERSION")], 1.0);
    SERVICE_UPTIME.set(NONE, since.as_secs_f64());
}

pub(crate) fn replayed(operation: &'static str) {
    IDEMPOTENT_REPLAYS.add([operation], 1);
}

pub(crate) fn webhook_delivered(outcome: &'static str) {
    WEBHOOK_DELIVERIES.add([outcome], 1);
}

pub(crate) fn webhook_quarantined(reason: QuarantineReason) {
    WEBHOOK_QUARANTINED.add([reason.as_str()], 1);
}

pub(crate) fn webhook_woken(outcome: &'static str, took: Duration) {
    WEBHOOK_WOKEN.add([outcome], 1);
    webhook_processed(took);
}

pub(crate) fn webhook_processed(took: Duration) {
    WEBHOOK_PROCESSING.record(NONE, took);
}

pub(crate) fn webhook_given_up() {
    WEBHOOK_WOKEN.add(["dead"], 1);
}

pub(crate) fn webhook_retried(events: u64) {
    WEBHOOK_RETRIED.add(NONE, events);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of events")]
pub(crate) fn inbox_depth(state: &'static str, count: i64) {
    INBOX_DEPTH.set([state], count as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of charges")]
pub(crate) fn due_refunds(open: i64) {
    REFUNDS_DUE.set(NONE, open as f64);
}

pub(crate) fn inbox_oldest(age: Duration) {
    INBOX_OLDEST.set(NONE, age.as_secs_f64());
}

/// Records the number of findings of an audit.
#[expect(clippy::cast_precision_loss, reason = "a gauge of findings")]
pub fn audited(findings: i64) {
    AUDIT_FINDINGS.set(NONE, findings as f64);
}

pub(crate) fn event_ended(kind: &'static str, count: u64) {
    EVENT_ENDED.add([kind], count);
}

pub(crate) fn feed_told(events: i64) {
    FEED_EVENTS.add(NONE, u64::try_from(events).unwrap_or(0));
}

pub(crate) fn feed_walked(took: Duration) {
    FEED_WALK.set(NONE, took.as_secs_f64());
}

pub(crate) fn push_attempted(outcome: AttemptOutcome) {
    PUSH_ATTEMPTS.add([outcome.as_str()], 1);
}

pub(crate) fn push_waits(endpoint_id: i64, oldest: Duration) {
    PUSH_OLDEST.set([endpoint_id.to_string()], oldest.as_secs_f64());
}

pub(crate) fn endpoint_disabled() {
    PUSH_DISABLED.add(NONE, 1);
}

pub(crate) fn feed_waits(waited: Duration) {
    FEED_LAG.set(NONE, waited.as_secs_f64());
}

pub(crate) fn expired(kind: &'static str, lags: impl ExactSizeIterator<Item = Duration>) {
    EXPIRED.add([kind], lags.len() as u64);
    if let Some(worst) = lags.max() {
        EXPIRY_LAG.record([kind], worst);
    }
}

pub(crate) fn passed_over(kind: &'static str, rows: u64) {
    PASSED_OVER.add([kind], rows);
}

pub(crate) fn clock_read(ahead: TimeDelta, paused: bool) {
    CLOCK_DIFFERENCE.set(NONE, ahead.as_seconds_f64());
    EXPIRY_PAUSED.set(NONE, if paused { 1.0 } else { 0.0 });
}

pub(crate) fn clock_jumped() {
    CLOCK_JUMPS.add(NONE, 1);
}

pub(crate) fn worker_failed(worker: &'static str) {
    WORKER_FAILED.add([worker], 1);
}

pub(crate) fn transaction_done(name: &'static str, took: Duration) {
    TRANSACTION.record([name], took);
}

pub(crate) fn transaction_retried(name: &'static str, code: &str) {
    TRANSACTION_RETRIED.add([SharedString::const_str(name), code.to_owned().into()], 1);
}

pub(crate) fn transaction_given_up(name: &'static str) {
    TRANSACTION_GIVEN_UP.add([name], 1);
}

pub(crate) fn guard_missed(guard: &'static str) {
    GUARD_MISSED.add([guard], 1);
}

pub(crate) fn pool_waited(waited: Duration) {
    POOL_WAIT.record(NONE, waited);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of connections")]
pub(crate) fn pool_use((existing, in_use): (usize, usize)) {
    POOL_CONNECTIONS.set(NONE, existing as f64);
    POOL_IN_USE.set(NONE, in_use as f64);
}

pub(crate) fn database_available(is_available: bool) {
    DATABASE_AVAILABLE.set(NONE, f64::from(u8::from(is_available)));
}

pub(crate) fn admin_refused(reason: &'static str) {
    ADMIN_REFUSED.add([reason], 1);
}

pub(crate) fn caller_refused(reason: &'static str) {
    CALLERS_REFUSED.add([reason], 1);
}

pub(crate) fn rate_limited(kind: &'static str) {
    RATE_LIMITED.add([kind], 1);
}

pub(crate) fn request_done(method: &'static str, route: &str, status: u16, took: Duration) {
    REQUEST.record([method.into(), route.to_owned().into(), SharedString::from(status.to_string())], took);
}

pub(super) fn log_dropped(lines: u64) {
    LOG_DROPPED.add(NONE, lines);
}

pub(super) fn statsd_dropped(lines: u64) {
    STATSD_DROPPED.add(NONE, lines);
}
