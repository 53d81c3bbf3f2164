-- payment_events/replay: an operator wants it tried anew; what he accepted stays with the event
UPDATE payment_events
SET status = 'received', settled_at = NULL, attempts = 0, due_at = NOW(6),
    accepted_amount = accepted_amount OR :accept_amount
WHERE id = :event_id AND status IN ('dead', 'parked', 'quarantined')
