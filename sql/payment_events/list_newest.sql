-- payment_events/list_newest: the whole inbox, the newest first
SELECT id, provider, status, meaning, order_id, hold_id, txn_id, amount, currency, deliveries, attempts, received_at,
       settled_at, due_at
FROM payment_events
WHERE id < :before
ORDER BY id DESC
LIMIT :limit
