-- payment_events/list_by_state: one queue of the inbox, the oldest first, along its index
SELECT id, provider, status, meaning, order_id, hold_id, txn_id, amount, currency, deliveries, attempts, received_at,
       settled_at, due_at
FROM payment_events
WHERE status = :status AND id > :after
ORDER BY id
LIMIT :limit
