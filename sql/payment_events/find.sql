-- payment_events/find: the columns that applying an event needs
SELECT id, status, meaning, order_id, hold_id, amount, currency, txn_id, provider, fingerprint, restock, cumulative,
       accepted_amount, COALESCE(park_until, received_at + INTERVAL 1 DAY) <= NOW(6) AS overdue, NOW(6) AS read_at
FROM payment_events
WHERE id = :event_id
