-- payment_events/mark_refunded: the money that was due for refund was given back
UPDATE payment_events
SET status = 'refunded'
WHERE id = :event_id AND status = 'refund_due'
