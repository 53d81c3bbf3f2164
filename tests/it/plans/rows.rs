//! The statements that make the rows of each table.

use super::fill::*;

/// A table of the numbers from 1 on.
pub(super) fn numbers() -> Vec<String> {
    let create = "CREATE TABLE numbers (i INT NOT NULL PRIMARY KEY) ENGINE = InnoDB";
    let double = |count: i64| format!("INSERT INTO numbers SELECT i + {count} FROM numbers");
    let doubled = (0..19).map(|power| double(1 << power));
    [create.to_owned(), "INSERT INTO numbers VALUES (1)".to_owned()].into_iter().chain(doubled).collect()
}

pub(super) fn products() -> String {
    format!(
        "INSERT INTO products (id, sku, name, price_minor, currency, stock, reserved, status, order_ttl_seconds,
                               max_per_buyer, limit_state, event_id, kind)
         SELECT i, CONCAT('sku-', i), CONCAT('product ', i), 4999, 'EUR', IF(i = {all_held}, 1000000, 10000000), 1000000,
                IF(i BETWEEN 1001 AND 100000, 'retired', 'on_sale'), IF(i = 3, 60, NULL), IF(i IN (4, 5), 4, NULL),
                CASE i WHEN 4 THEN 'counting' WHEN 5 THEN 'enforced' END,
                CASE WHEN i = {all_held} THEN {its_event} WHEN i >= {first} THEN i - {first} + 1 END,
                CASE WHEN {seated} THEN 'seated' WHEN i = {all_held} OR i >= {first} THEN 'admission' END
         FROM numbers WHERE i <= {ROWS} ORDER BY i",
        all_held = ALL_HELD.0,
        its_event = ALL_HELD.1,
        first = SEATED.start,
        seated = within(&SEATED),
    )
}

pub(super) fn organizers() -> String {
    format!(
        "INSERT INTO organizers (id, name, change_id, created_by)
         SELECT i, CONCAT('organizer ', i), {}, 'operator' FROM numbers WHERE i <= {ROWS} ORDER BY i",
        id_of("i", 8),
    )
}

/// Half of the events are the first organizer's.
pub(super) fn ticket_events() -> String {
    format!(
        "INSERT INTO events (id, organizer_id, name, venue, starts_at, cancelled_at, change_id, created_by)
         SELECT i, IF(i % 2 = 0, 1, i), CONCAT('event ', i), 'a hall', {}, IF(i IN (2, {ROWS}), @now, NULL), {}, 'operator' FROM numbers WHERE i <= {ROWS} ORDER BY i",
        moment(0),
        id_of("i", 9),
    )
}

/// All events but the last one were cancelled.
pub(super) fn event_cancellations() -> String {
    format!(
        "INSERT INTO event_cancellations (event_id, cancelled_by, cancelled_at, stage, finished_at)
         SELECT i, 'operator', @now, IF({open}, 'holds', 'finished'), IF({open}, NULL, @now)
         FROM numbers WHERE i < {ROWS} ORDER BY i",
        open = within(&OPEN_ENDINGS),
    )
}

/// Every second charge of a paid order has one that is open; half of them are of the first event.
pub(super) fn due_refunds() -> String {
    format!(
        "INSERT INTO due_refunds (charge_event_id, event_id, order_id, amount_minor, until_minor, currency, settled_at)
         SELECT i, IF(i % 4 = 0, 1, 2 + i % 5000), {}, 4999, 4999, 'EUR', IF(i % 2 = 0, NULL, @now)
         FROM numbers WHERE {} ORDER BY i",
        id_of("i", 2),
        within(&PAID),
    )
}

pub(super) fn seats() -> String {
    format!(
        "INSERT INTO seats (product_id, n, section, row_name, label, row_n, place, row_rank, hold_id)
         SELECT {first} + (i - 1) DIV {SEATS}, 1 + (i - 1) % {SEATS}, 'A', 1 + (i - 1) % {SEATS} DIV 50,
                CONCAT('A-', 1 + (i - 1) % {SEATS} DIV 50, '-', 1 + i % 50), 1 + (i - 1) % {SEATS} DIV 50, 1 + i % 50, 1,
                IF(i % 2 = 0, NULL, {})
         FROM numbers WHERE i <= {ROWS} ORDER BY i",
        id_of("i", 1),
        first = SEATED.start,
    )
}

/// A ticket for each paid order; half of them are for the first event.
pub(super) fn tickets() -> String {
    format!(
        "INSERT INTO tickets (order_id, product_id, unit, event_id, code)
         SELECT {order}, {product}, 1, IF(i % 2 = 0, 1, i), {code} FROM numbers WHERE {paid} ORDER BY i",
        order = id_of("i", 2),
        product = SEATED.start,
        code = id_of("i", 5),
        paid = within(&PAID),
    )
}

pub(super) fn product_trail() -> String {
    // the busy product has 2,000 rows
    format!(
        "INSERT INTO product_trail (product_id, change_id, place, actor, action, to_values)
         SELECT IF(i <= 2000, 1, i), {}, 0, 'operator', IF(i < 2000, 'stock', 'created'), '{{}}' FROM numbers WHERE i <= {ROWS} ORDER BY i",
        id_of("i", 4),
    )
}

pub(super) fn holds() -> String {
    let product = by_range(&[(&LATE_ORDERS, "1"), (&LATE_HOLDS, "1")], "IF(i % 2 = 0, 1, 2 + i % 5000)");
    let active = (&(OVERDUE_HOLDS.start..ACTIVE.end), "'active'");
    let status = [active, (&RELEASED, "'released'"), (&EXPIRED, "'expired'"), (&LATE_HOLDS, "'active'")];
    let (late, overdue, later) = (moment(LATE_SECONDS), moment(OVERDUE_SECONDS), moment(3_600));
    let expires = by_range(&[(&LATE_HOLDS, &late), (&OVERDUE_HOLDS, &overdue), (&ACTIVE, &later)], &moment(-200_000));
    let returns = by_range(
        &[
            (&LATE_HOLDS, &late),
            (&LATE_ORDERS, &late),
            (&OVERDUE_HOLDS, &overdue),
            (&OVERDUE_ORDERS, &overdue),
            (&ACTIVE, &later),
            (&PENDING, &later),
        ],
        "NULL",
    );
    format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, created_at, expires_at, returns_at)
         SELECT {id}, {product}, 1, 4999, 'EUR', {status}, {created}, {expires}, {returns}
         FROM numbers WHERE i < {end} ORDER BY i",
        id = id_of("i", 1),
        status = by_range(&status, "'ordered'"),
        created = moment(-200_000),
        end = LATE_HOLDS.end,
    )
}

pub(super) fn orders() -> String {
    let pending = OVERDUE_ORDERS.start..LATE_ORDERS.end;
    let status = by_range(
        &[(&PAID, "'paid'"), (&REFUNDED, "'refunded'"), (&CANCELLED, "'cancelled'"), (&pending, "'pending'")],
        "NULL",
    );
    let (late, overdue, later) = (moment(LATE_SECONDS), moment(OVERDUE_SECONDS), moment(3_600));
    let pay_by = by_range(&[(&LATE_ORDERS, &late), (&OVERDUE_ORDERS, &overdue), (&PENDING, &later)], &moment(-200_000));
    format!(
        "INSERT INTO orders (id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, client_id)
         SELECT {id}, {hold}, {status}, 4999, 'EUR', {created}, {pay_by}, {refunded}, IF(i % 2 = 0, 0, NULL)
         FROM numbers WHERE i < {end} ORDER BY i",
        id = id_of("i", 2),
        hold = id_of("i", 1),
        created = moment(-200_000),
        refunded = by_range(&[(&REFUNDED, "4999")], "0"),
        end = LATE_ORDERS.end,
    )
}

/// Every second row is of one client.
pub(super) fn feed_batches() -> String {
    format!(
        "INSERT INTO feed_batches (id, client_id, position, items, transitions, created_at, batch, events)
         SELECT i, IF(i % 2 = 0, 1, 2 + i % 5000), IF(i < {}, 2 * i, NULL), 2, 2, {}, {}, '[]' FROM numbers WHERE {} ORDER BY i",
        LATE_TOLD.start,
        moment(-200_000),
        id_of("i", 3),
        within(&TOLD),
    )
}

/// Every product that can be held has a row.
pub(super) fn feed_products() -> String {
    format!(
        "INSERT INTO feed_products (product_id, sold_out, told_at, batch)
         SELECT i, {told}, @now - INTERVAL 1 HOUR, IF({told}, x'{telling}', x'00') FROM numbers
         WHERE i BETWEEN 100001 AND {ROWS} ORDER BY i",
        told = within(&TOLD_PRODUCTS),
        telling = TELLING.simple(),
    )
}

pub(super) fn buyer_units() -> String {
    format!("INSERT INTO buyer_units (id, units) SELECT {}, 1 FROM numbers WHERE i <= {ROWS} ORDER BY i", id_of("i", 7))
}

/// The owners of holds: half of the paid ones have one buyer and one reference.
pub(super) fn hold_owners() -> String {
    format!(
        "INSERT INTO hold_owners (hold_id, client_id, buyer, reference, metadata)
         SELECT {id}, 1, {name}, {name}, NULL FROM numbers WHERE {paid} ORDER BY i",
        id = id_of("i", 1),
        name = "IF(i % 2 = 0, 'busy', CONCAT('name ', i))",
        paid = within(&PAID),
    )
}

/// The owners of orders, as [`hold_owners`].
pub(super) fn order_owners() -> String {
    format!(
        "INSERT INTO order_owners (order_id, client_id, buyer, reference, metadata, created_at)
         SELECT {id}, 1, {name}, {name}, NULL, {created} FROM numbers WHERE {paid} ORDER BY i",
        id = id_of("i", 2),
        name = "IF(i % 2 = 0, 'busy', CONCAT('name ', i))",
        created = moment(-200_000),
        paid = within(&PAID),
    )
}

pub(super) fn order_events() -> String {
    let settled = PAID.start..CANCELLED.end;
    let ended = by_range(&[(&CANCELLED, "'cancelled'")], "'paid'");
    let reason = by_range(&[(&CANCELLED, "'payment_overdue'")], "'payment_succeeded'");
    let event = by_range(&[(&CANCELLED, "NULL")], "i");
    format!(
        "INSERT INTO order_events (order_id, from_status, to_status, reason, at, payment_event_id, txn_id)
         SELECT {order},
                CASE step WHEN 1 THEN NULL WHEN 2 THEN 'pending' ELSE 'paid' END,
                CASE step WHEN 1 THEN 'pending' WHEN 2 THEN {ended} ELSE 'refunded' END,
                CASE step WHEN 1 THEN 'created' WHEN 2 THEN {reason} ELSE 'payment_refunded' END,
                {at}, IF(step = 1, NULL, {event}), NULL
         FROM numbers JOIN (SELECT 1 AS step UNION ALL SELECT 2 UNION ALL SELECT 3) AS steps
         WHERE i < {end} AND (step = 1 OR step = 2 AND {settled} OR step = 3 AND {refunded})
         ORDER BY i, step",
        order = id_of("i", 2),
        at = moment(-200_000),
        end = LATE_ORDERS.end,
        settled = within(&settled),
        refunded = within(&REFUNDED),
    )
}

pub(super) fn events() -> String {
    let received = |range| (range, "'received'");
    let parked = |range| (range, "'parked'");
    let waiting = OVERDUE_EVENTS.start..READY.end;
    let status = [
        (&IGNORED, "'ignored'"),
        received(&LATE_RECEIVED),
        parked(&LATE_PARKED),
        received(&RECEIVED),
        parked(&waiting),
        (&(QUARANTINED.start..QUARANTINED_FAILURES.end), "'quarantined'"),
        (&REFUND_DUE, "'refund_due'"),
        (&DEAD, "'dead'"),
        (&UNMATCHED, "'unmatched'"),
    ];
    let (late, overdue, later) = (moment(LATE_SECONDS), moment(OVERDUE_SECONDS), moment(86_400));
    let tomorrow = PARKED.start..READY.end;
    let due = by_range(
        &[
            (&LATE_RECEIVED, &late),
            (&LATE_PARKED, &late),
            (&RECEIVED, &overdue),
            (&OVERDUE_EVENTS, &overdue),
            (&tomorrow, &later),
        ],
        "NULL",
    );
    let unknown = LATE_PARKED.start..READY.start;
    let ready = id_of(&format!("i - {}", READY.start - CANCELLED.start), 2);
    let busy = id_of(&BUSY_ORDER.to_string(), 2);
    let order = by_range(
        &[
            (&unknown, &id_of("i", 3)),
            (&READY, &ready),
            (&OF_BUSY_ORDER, &busy),
            (&OF_BUSY_HOLD, "NULL"),
            (&UNMATCHED, "NULL"),
        ],
        &id_of("1 + i % 200000", 2),
    );
    let settled = PAID.start..REFUNDED.end;
    format!(
        "INSERT INTO payment_events (id, provider, idempotency_key, fingerprint, status, meaning, order_id, hold_id, amount,
                                     currency, txn_id, body, received_at, settled_at, due_at, park_until, attempts)
         SELECT i, 'default', CONCAT('succeeded', CHAR(31), 'charge ', i), REPEAT('f', 32), {status}, {meaning},
                IF({by_hold}, NULL, {order}), IF({by_hold}, {hold}, NULL), '49.99',
                'EUR', CONCAT('charge ', i), '{{}}', {received}, IF({due} IS NULL, @now, NULL), {due}, {later}, 1
         FROM numbers WHERE i < {end} ORDER BY i",
        status = by_range(&status, "'applied'"),
        meaning =
            by_range(&[(&LATE_RECEIVED, "'refunded'"), (&QUARANTINED_FAILURES, "'failed'")], "'succeeded'"),
        by_hold = by_range(&[(&OF_BUSY_ORDER, "FALSE"), (&OF_BUSY_HOLD, "TRUE"), (&UNMATCHED, "FALSE")], "i % 1000 = 0"),
        order = by_range(&[(&settled, &id_of("i", 2))], &order),
        hold = by_range(
            &[
                (&settled, &id_of("i", 1)),
                (&unknown, &id_of("i", 3)),
                (&OF_BUSY_HOLD, &id_of(&BUSY_ORDER.to_string(), 1)),
            ],
            &id_of("1 + i % 200000", 1)
        ),
        received = moment(RECEIVED_SECONDS),
        end = UNMATCHED.end,
    )
}

pub(super) fn trail() -> String {
    // the busy event has 2,000 rows, the others have four each
    let event = "IF(i <= 2000, 1, 1 + i DIV 4)";
    format!(
        "INSERT INTO payment_event_trail (event_id, action, attempt, detail)
         SELECT {event}, 'attempt_failed', 1, 'the provider said no' FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

pub(super) fn charges() -> String {
    let settled = PAID.start..REFUNDED.end;
    format!(
        "INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor)
         SELECT 'default', CONCAT('charge ', i), i, {order}, {hold}, {status}, 4999, 'EUR', {refunded}
         FROM numbers WHERE {settled} OR {due} ORDER BY 2",
        order = by_range(&[(&settled, &id_of("i", 2))], &id_of("1 + i % 200000", 2)),
        hold = by_range(&[(&settled, &id_of("i", 1))], &id_of("1 + i % 200000", 1)),
        status = by_range(&[(&REFUNDED, "'refunded'"), (&REFUND_DUE, "'refund_due'")], "'paid'"),
        refunded = by_range(&[(&REFUNDED, "4999")], "0"),
        settled = within(&settled),
        due = within(&REFUND_DUE),
    )
}

pub(super) fn keys() -> String {
    let created =
        by_range(&[(&OLD_KEYS, "@now - INTERVAL 50 HOUR"), (&LATE_KEYS, &moment(-4 * 86_400))], &moment(-86_400));
    format!(
        "INSERT INTO idempotency_keys (id, scope, operation, idempotency_key, fingerprint, resource_id, answered_status, created_at)
         SELECT UNHEX(SHA2(CONCAT(0x00, operation, 0x00, name), 256)), '', operation, name, REPEAT('f', 32), {id}, NULL, {created}
         FROM (
           SELECT i, IF(i % 2 = 0, 'hold', 'order') AS operation, CONCAT('key ', i) AS name FROM numbers WHERE i < {end}
         ) AS named
         ORDER BY 1",
        id = id_of("i", 2),
        end = LATE_KEYS.end,
    )
}

pub(super) fn quarantines() -> String {
    let quarantined = QUARANTINED.start..QUARANTINED_FAILURES.end;
    format!(
        "INSERT INTO payment_event_quarantines (event_id, settled_at, reason, expected, got)
         SELECT i, @now, 'amount_mismatch', '49.99 EUR', '4.99 EUR'
         FROM numbers WHERE i <= {ROWS} OR {} ORDER BY i",
        within(&quarantined),
    )
}

pub(super) fn deliveries() -> String {
    let txn_id = by_range(&[(&OF_BUSY_CHARGE, &format!("'{BUSY_CHARGE}'"))], "CONCAT('charge ', i)");
    format!(
        "INSERT INTO payment_event_deliveries (event_id, slot, delivery, answer, txn_id)
         SELECT i, 0, 1, {answer}, {txn_id} FROM numbers WHERE i <= {ROWS} OR {parked}
         UNION ALL
         SELECT {BUSY_EVENT}, i, i, 'applied', NULL FROM numbers WHERE i BETWEEN 1 AND 99",
        answer = by_range(&[(&PARKED, "'pending_order'")], "'applied'"),
        parked = within(&PARKED),
    )
}

pub(super) fn links() -> String {
    format!(
        "INSERT INTO payment_links (provider, object_id, charge_name, order_id, hold_id)
         SELECT 'default', CONCAT('object ', i), CONCAT('charge ', i), {}, NULL
         FROM numbers WHERE i <= {ROWS} ORDER BY 2",
        id_of("i", 2),
    )
}

pub(super) fn objects() -> String {
    format!(
        "INSERT INTO unmatched_objects (provider, object_id, event_id)
         SELECT 'default', CONCAT('unmatched ', i), i
         FROM numbers WHERE {} OR {} ORDER BY 2",
        within(&LATE_OBJECTS),
        within(&OBJECTS),
    )
}

pub(super) fn clients() -> String {
    format!(
        "INSERT INTO clients (id, name, role, token_digest, revoked_at)
         SELECT i, CONCAT('client-', i), 'storefront', UNHEX(SHA2(i, 256)), {revoked}
         FROM numbers WHERE i <= {ROWS} ORDER BY i",
        revoked = by_range(&[(&LIVE_CLIENTS, "NULL")], "@now"),
    )
}

pub(super) fn client_keys() -> String {
    format!(
        "INSERT INTO client_keys (client_id, kid, public_key)
         SELECT 1 + (i - 1) DIV 4, CONCAT('key ', i % 4), UNHEX(SHA2(i, 256)) FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

pub(super) fn client_trail() -> String {
    // the first client has 2,000 rows, the others have four each
    format!(
        "INSERT INTO client_trail (change_id, client_id, action, detail, operator)
         SELECT UNHEX(LEFT(SHA2(i, 256), 32)), IF(i <= 2000, 1, 1 + i DIV 4), 'rotated', '', 'operator'
         FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

pub(super) fn endpoints() -> String {
    format!(
        "INSERT INTO endpoints (id, url, types, client_id, secret, disabled_at, disabled_reason)
         SELECT i, CONCAT('https://shop.example/', i), 'order.paid', i, UNHEX(SHA2(i, 256)), {disabled}, 'failing'
         FROM numbers WHERE i <= {ROWS} ORDER BY i",
        disabled = by_range(&[(&LIVE_ENDPOINTS, "NULL")], "@now"),
    )
}

pub(super) fn endpoint_trail() -> String {
    // the first endpoint has 2,000 rows, the others have four each
    format!(
        "INSERT INTO endpoint_trail (change_id, endpoint_id, action, operator)
         SELECT UNHEX(LEFT(SHA2(i, 256), 32)), IF(i <= 2000, 1, 1 + i DIV 4), 'rotated', 'operator'
         FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

pub(super) fn push_cursors() -> String {
    format!(
        "INSERT INTO push_cursors (endpoint_id, epoch, position, holder, failing_since)
         SELECT i, 1, i % 1000 = 0, UNHEX(REPEAT('07', 16)), @now FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

/// One endpoint has 2,000 rows, the others have four each.
pub(super) fn push_failures() -> String {
    format!(
        "INSERT INTO push_failures (endpoint_id, position, row_position, order_id, state, attempts, happened_at, next_at)
         SELECT IF(i <= 2000, {PUSHING}, 1 + i DIV 4), i, i, {}, IF(i <= 2000 OR i % 2 = 0, 'waiting', 'failed'), 1, @now, @now
         FROM numbers WHERE i <= {ROWS} ORDER BY i",
        id_of("i", 9),
    )
}

/// As [`push_failures`].
pub(super) fn push_attempts() -> String {
    format!(
        "INSERT INTO push_attempts (endpoint_id, number, position, event_id, attempt, outcome, status, answer, duration_ms)
         SELECT IF(i <= 2000, {PUSHING}, 1 + i DIV 4), i, i, 'evt_1', 1, 'refused', 503, 'busy', 1
         FROM numbers WHERE i <= {ROWS} ORDER BY i"
    )
}

pub(super) fn event_operators() -> String {
    // the rows of the trail, whose ids are 1 and up, and the dismissals
    let of_trail = "IF(i <= 2000, 1, 1 + i DIV 4), i";
    format!(
        "INSERT INTO payment_event_operators (event_id, trail_id, operator)
         SELECT {of_trail}, 'operator' FROM numbers WHERE i <= {ROWS}
         UNION ALL
         SELECT i, 0, 'operator' FROM numbers WHERE {}",
        within(&QUARANTINED_FAILURES),
    )
}
