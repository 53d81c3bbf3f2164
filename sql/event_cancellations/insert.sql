-- event_cancellations/insert: the end of an event begins
INSERT INTO event_cancellations (event_id, cancelled_by, cancelled_at)
SELECT id, :cancelled_by, cancelled_at
FROM events
WHERE id = :event_id
