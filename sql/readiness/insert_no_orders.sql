-- readiness/insert_no_orders: inserts no row; fails when the table is missing, locked or read-only, or INSERT is not granted
INSERT INTO orders (id, hold_id, total_minor, currency, pay_by)
SELECT id, hold_id, total_minor, currency, pay_by
FROM orders
WHERE FALSE
