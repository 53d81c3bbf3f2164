-- holds/insert_counted: as holds/insert_with_order_time, where counters have the units of some holds
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at, order_ttl_seconds, counted_on, held_on)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = holds.id
