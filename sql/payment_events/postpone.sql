-- payment_events/postpone: an event that could not be applied is tried again later; one that is already scheduled for another
-- attempt is only counted. The old state is read before it changes
UPDATE payment_events
SET due_at = IF(status = 'received', due_at, NOW(6) + INTERVAL :pause_us MICROSECOND),
    attempts = IF(status = 'parked', 1, attempts + 1), settled_at = NULL, status = 'received'
WHERE id = :event_id AND (status IN ('received', 'parked') OR status = 'dead' AND meaning = 'refunded')
