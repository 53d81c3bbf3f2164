-- payment_events/bury: an event without retries left becomes dead
UPDATE payment_events
SET status = 'dead', settled_at = NOW(6), due_at = NULL
WHERE id = :event_id AND status = 'received' AND attempts >= :attempts
