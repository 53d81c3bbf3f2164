-- payment_events/find_last: the id of the newest event
SELECT COALESCE(MAX(id), 0)
FROM payment_events
