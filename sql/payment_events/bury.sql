-- payment_events/bury: the retries are used up
UPDATE payment_events
SET status = 'dead', settled_at = NOW(6), due_at = NULL
WHERE id = :event_id AND status = 'received' AND attempts >= :attempts
