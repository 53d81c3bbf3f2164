-- payment_events/postpone: a waiting event that could not be applied is tried again later, like any other
UPDATE payment_events
SET status = 'received', attempts = attempts + 1, due_at = NOW(6) + INTERVAL :pause_us MICROSECOND
WHERE id = :event_id AND (status = 'parked' OR status = 'dead' AND meaning = 'refunded')
