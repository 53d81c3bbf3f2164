-- order_events/insert_all_paid: a batch of payments, with what their events said
INSERT INTO order_events (order_id, from_status, to_status, reason, payment_event_id, txn_id, amount, currency,
                          provider_timestamp, source, correlation_id)
SELECT orders.id, 'pending', 'paid', 'payment_succeeded', payment_events.id, txn_id, amount, payment_events.currency,
       provider_timestamp, source, correlation_id
FROM payment_events
JOIN orders ON orders.id = CASE payment_events.idempotency_key {orders} END
WHERE (provider, idempotency_key) IN ({rows})
