-- The charges of events that were settled before charges had a table. Of two events that name the same charge, the
-- earlier one owns it.
INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency, refunded_minor)
SELECT events.provider, COALESCE(events.txn_id, CONCAT(0x1f, events.idempotency_key)), events.id,
       COALESCE(orders.id, events.order_id), COALESCE(orders.hold_id, events.hold_id),
       IF(events.status = 'refund_due', 'refund_due', IF(orders.status = 'refunded', 'refunded', 'paid')),
       IF(events.status = 'refund_due', NULL, orders.total_minor), orders.currency,
       IF(events.status = 'applied' AND orders.status = 'refunded', orders.total_minor, 0)
FROM payment_events AS events
LEFT JOIN orders ON orders.id = events.order_id OR (events.order_id IS NULL AND orders.hold_id = events.hold_id)
WHERE events.meaning = 'succeeded'
  AND (events.status = 'refund_due' OR (events.status = 'applied' AND orders.status IN ('paid', 'refunded')))
ORDER BY events.id
ON DUPLICATE KEY UPDATE event_id = charges.event_id
