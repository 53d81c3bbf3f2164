-- payment_events/claim: from here to the commit the event is ours alone to apply
UPDATE payment_events
SET attempts = attempts + :counted, attempted_at = NOW(6)
WHERE id = :event_id AND (status IN ('received', 'parked') OR status = 'dead' AND meaning = 'refunded')
