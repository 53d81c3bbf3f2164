-- readiness/update_nothing: changes no row; fails when one of the tables is missing, locked or read-only, or UPDATE is not
-- granted
UPDATE products, holds, orders, payment_events, payment_event_deliveries, charges, idempotency_keys
SET products.reserved = products.reserved, holds.status = holds.status, orders.status = orders.status,
    payment_events.status = payment_events.status, payment_event_deliveries.answer = payment_event_deliveries.answer,
    charges.status = charges.status, idempotency_keys.replays = idempotency_keys.replays
WHERE FALSE
