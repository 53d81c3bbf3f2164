-- holds/insert: a batch of holds, before the product's row is touched; an existing row is not counted. The rows of one
-- statement share the clock
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = holds.id
