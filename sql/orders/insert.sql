-- orders/insert: a batch of orders, each from a hold whose rows were just read; a hold that has an order already, or an id
-- that exists, adds no affected row. The rows of one statement share the clock
INSERT INTO orders (id, hold_id, total_minor, currency, created_at, pay_by, client_id)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = orders.id
