-- payment_events/replay: an operator has the event tried anew; an accepted amount stays accepted
UPDATE payment_events
SET status = 'received', settled_at = NULL, attempts = 0, due_at = NOW(6),
    accepted_amount = accepted_amount OR :accept_amount
WHERE id = :event_id AND status IN ('dead', 'parked', 'quarantined')
