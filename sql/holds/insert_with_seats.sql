-- holds/insert_with_seats: as holds/insert_counted, where some rows are of ticket types
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at, order_ttl_seconds, counted_on, held_on,
                   event_counted_on, seats)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = holds.id
