-- payment_events/settle: an event gets its outcome once; a refund that was given up gets another one when its charge arrives
UPDATE payment_events
SET status = :status, settled_at = NOW(6), due_at = NULL, processing_us = :processing_us
WHERE id = :event_id AND (status IN ('received', 'parked') OR status = 'dead' AND meaning = 'refunded')
