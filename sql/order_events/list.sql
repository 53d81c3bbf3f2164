-- order_events/list: the trail of one order, oldest first
SELECT id, from_status, to_status, reason, at, payment_event_id, txn_id, amount, currency,
       provider_timestamp, source, correlation_id
FROM order_events
WHERE order_id = :order_id
ORDER BY id
