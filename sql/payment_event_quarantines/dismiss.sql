-- payment_event_quarantines/dismiss: the operator's note; an event that an older version quarantined has no reason beside it
INSERT INTO payment_event_quarantines (event_id, settled_at, dismissed_at, dismissal)
SELECT id, settled_at, NOW(6), :note
FROM payment_events
WHERE id = :event_id
ON DUPLICATE KEY UPDATE dismissed_at = NOW(6), dismissal = :note
