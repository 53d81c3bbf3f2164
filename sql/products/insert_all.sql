-- products/insert_all: new products; one whose sku exists adds no affected row
INSERT INTO products (sku, name, price_minor, currency, status, sale_starts_at, sale_ends_at, hold_ttl_seconds,
                      order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata, stock, limit_state)
VALUES {rows}
ON DUPLICATE KEY UPDATE id = products.id
