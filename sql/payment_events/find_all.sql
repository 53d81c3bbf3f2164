-- payment_events/find_all: everything that is known of an event
SELECT id, provider, status, meaning, order_id, hold_id, txn_id, amount, currency, deliveries, attempts, received_at,
       settled_at, due_at, idempotency_key, restock, cumulative, accepted_amount, provider_timestamp, source,
       correlation_id, headers, body, attempted_at, processing_us
FROM payment_events
WHERE id = :event_id
