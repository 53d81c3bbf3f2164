-- holds/insert: the holds of a batch, before the hot row is locked; an existing row adds no affected row
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = holds.id
