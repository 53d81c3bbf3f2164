-- holds/insert: a batch of buyers, before the hot row is touched; a row that is there already is not counted
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = holds.id
