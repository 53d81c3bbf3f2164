-- payment_events/dismiss: an operator decides that a quarantined failure or refund changes nothing; a success is money and
-- cannot be dismissed
UPDATE payment_events FORCE INDEX (PRIMARY)
SET status = 'ignored'
WHERE id = :event_id AND status = 'quarantined' AND meaning IN ('failed', 'refunded')
