-- payment_event_deliveries/insert: the answer to the delivery of this transaction; copies use the slots 1 to 99 in turn
INSERT INTO payment_event_deliveries (event_id, slot, delivery, answer, txn_id)
SELECT id, IF(deliveries = 1, 0, 1 + MOD(deliveries, 99)), deliveries, :answer, IF(deliveries = 1, txn_id, NULL)
FROM payment_events
WHERE id = :event_id
ON DUPLICATE KEY UPDATE delivery = payment_events.deliveries, answer = :answer, at = NOW(6)
