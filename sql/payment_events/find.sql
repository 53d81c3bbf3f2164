-- payment_events/find: what applying an event needs to know
SELECT id, status, meaning, order_id, hold_id, amount, currency, txn_id, provider, fingerprint, restock
FROM payment_events
WHERE id = :event_id
