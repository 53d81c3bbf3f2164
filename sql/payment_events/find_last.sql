-- payment_events/find_last: the newest event
SELECT id, received_at
FROM payment_events
ORDER BY id DESC
LIMIT 1
