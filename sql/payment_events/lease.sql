-- payment_events/lease: one worker tries an event; the attempt is counted and the next one scheduled before it begins, so
-- that an event that crashes its worker is counted too
UPDATE payment_events
SET attempts = attempts + 1, due_at = NOW(6) + INTERVAL :pause_us MICROSECOND
WHERE id = :event_id AND status = 'received' AND attempts = :attempts AND due_at <= NOW(6)
