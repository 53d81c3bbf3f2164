-- payment_events/find_next: the first event from an id on; ids ascend with the time, so a bisection with this finds a time
SELECT id, received_at
FROM payment_events
WHERE id >= :id
ORDER BY id
LIMIT 1
