-- charges/insert: the unique key decides which event owns a charge; an existing charge adds no affected row
INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency)
SELECT provider, COALESCE(txn_id, CONCAT(0x1f, idempotency_key)), id, :order_id, :hold_id, :status, :amount_minor, :currency
FROM payment_events
WHERE id = :event_id
ON DUPLICATE KEY UPDATE event_id = charges.event_id
