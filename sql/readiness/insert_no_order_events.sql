-- readiness/insert_no_order_events: inserts no row; fails when the table is missing, locked or read-only, or INSERT is not
-- granted
INSERT INTO order_events (order_id, to_status, reason)
SELECT order_id, to_status, reason
FROM order_events
WHERE FALSE
