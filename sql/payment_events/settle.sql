-- payment_events/settle: an event gets its outcome once
UPDATE payment_events
SET status = :status, settled_at = IF(:status = 'parked', NULL, NOW(6))
WHERE id = :event_id AND status IN ('received', 'parked') AND status <> :status
