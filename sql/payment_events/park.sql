-- payment_events/park: an event waits for its order, or a refund for its charge, until it is given up
UPDATE payment_events
SET status = 'parked', due_at = COALESCE(park_until, received_at + INTERVAL 1 DAY), processing_us = :processing_us
WHERE id = :event_id AND status IN ('received', 'parked')
