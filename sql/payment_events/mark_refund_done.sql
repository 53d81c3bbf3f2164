-- payment_events/mark_refund_done: an operator gave the money of a success back by hand: one that was due for refund, or
-- quarantined
UPDATE payment_events
SET status = 'refunded'
WHERE id = :event_id AND status IN ('refund_due', 'quarantined') AND meaning = 'succeeded'
