-- payment_events/find_last: the newest event
SELECT COALESCE(MAX(id), 0)
FROM payment_events
