-- charges/insert_refund_done: a quarantined success has no charge yet; this one shows later events that the charge was given
-- back. A charge that another event owns stays as it is
INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor)
SELECT provider, COALESCE(txn_id, CONCAT(0x1f, idempotency_key)), id, order_id, hold_id, 'refunded', :amount_minor,
       :currency, COALESCE(:amount_minor, 0)
FROM payment_events
WHERE id = :event_id
ON DUPLICATE KEY UPDATE event_id = charges.event_id
