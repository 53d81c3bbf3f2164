-- readiness/insert_no_order_events: inserts no row; fails when the table is missing, locked or read-only, or none may be inserted
INSERT INTO order_events (order_id, to_status, reason)
SELECT order_id, to_status, reason
FROM order_events
WHERE FALSE
