-- readiness/insert_no_payment_event_deliveries: inserts no row; fails when the table is missing, locked or read-only, or
-- INSERT is not granted
INSERT INTO payment_event_deliveries (event_id, slot, delivery, answer)
SELECT event_id, slot, delivery, answer
FROM payment_event_deliveries
WHERE FALSE
