-- holds/insert_with_order_time: as holds/insert, for a product whose orders have a time of their own
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at, order_ttl_seconds)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = holds.id
