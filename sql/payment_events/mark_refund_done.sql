-- payment_events/mark_refund_done: an operator gave the money back by hand; also what was quarantined, where that was the
-- way out
UPDATE payment_events
SET status = 'refunded'
WHERE id = :event_id AND status IN ('refund_due', 'quarantined') AND meaning = 'succeeded'
