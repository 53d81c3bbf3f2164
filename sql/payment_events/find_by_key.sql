-- payment_events/find_by_key: the event that was stored under this key
SELECT id, status, meaning, order_id, hold_id, amount, currency, txn_id, provider, fingerprint, restock, cumulative,
       accepted_amount, COALESCE(park_until, received_at + INTERVAL 1 DAY) <= NOW(6) AS overdue, NOW(6) AS read_at
FROM payment_events
WHERE provider = :provider AND idempotency_key = :idempotency_key
