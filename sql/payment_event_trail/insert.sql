-- payment_event_trail/insert: what happened to an event, beside its outcome
INSERT INTO payment_event_trail (event_id, action, attempt, detail)
SELECT id, :action, attempts, :detail
FROM payment_events
WHERE id = :event_id
