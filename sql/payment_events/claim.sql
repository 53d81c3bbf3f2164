-- payment_events/claim: until the commit, only this transaction can apply the event
UPDATE payment_events
SET attempts = attempts + :counted, attempted_at = NOW(6)
WHERE id = :event_id AND (status IN ('received', 'parked') OR status = 'dead' AND meaning = 'refunded')
