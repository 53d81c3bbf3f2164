-- payment_event_trail/list: the trail of an event, the newest entry first; attempts are bounded, actions of operators are not
SELECT action, attempt, detail, at
FROM payment_event_trail
WHERE event_id = :event_id
ORDER BY id DESC
LIMIT :limit
