-- payment_event_trail/list: the trail of an event, the newest entry first; attempts are bounded, actions of operators are not
SELECT action, attempt, detail, at, operator
FROM payment_event_trail AS trail
LEFT JOIN payment_event_operators AS operators ON operators.event_id = trail.event_id AND operators.trail_id = trail.id
WHERE trail.event_id = :event_id
ORDER BY trail.id DESC
LIMIT :limit
