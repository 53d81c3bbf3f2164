-- payment_event_trail/list: what happened to an event, the newest first; attempts are bounded, what operators do is not
SELECT action, attempt, detail, at
FROM payment_event_trail
WHERE event_id = :event_id
ORDER BY id DESC
LIMIT :limit
