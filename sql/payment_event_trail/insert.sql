-- payment_event_trail/insert: an entry in the trail of an event
INSERT INTO payment_event_trail (event_id, action, attempt, detail)
SELECT id, :action, attempts, :detail
FROM payment_events
WHERE id = :event_id
