-- payment_events/find_next: the first event at or behind an id; ids ascend with the time, so a few of these find a time
SELECT id, received_at
FROM payment_events
WHERE id >= :id
ORDER BY id
LIMIT 1
