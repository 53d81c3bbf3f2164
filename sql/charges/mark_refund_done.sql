-- charges/mark_refund_done: the rest of the charge was given back by hand
UPDATE charges
SET status = 'refunded', refunded_minor = COALESCE(amount_minor, refunded_minor)
WHERE event_id = :event_id AND status = 'refund_due'
