-- charges/insert_all_paid: the charges of a batch of payments; one that is known already is not counted, which undoes
-- the batch
INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency)
SELECT provider, COALESCE(txn_id, CONCAT(0x1f, idempotency_key)), payment_events.id, orders.id, orders.hold_id, 'paid',
       orders.total_minor, orders.currency
FROM payment_events
JOIN orders ON orders.id = CASE payment_events.idempotency_key {orders} END
WHERE (provider, idempotency_key) IN ({rows})
ON DUPLICATE KEY UPDATE event_id = charges.event_id
