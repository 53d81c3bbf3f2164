-- products/list_some: all products that the requests of a round ask for, with the clock of the read
SELECT id, sku, name, price_minor, currency, stock, available, status, sale_starts_at, sale_ends_at, hold_ttl_seconds,
       order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata, event_id, kind, event_sale_starts_at,
       event_sale_ends_at, event_max_per_buyer, cancelled_at, NOW(6) AS server_time
FROM products
WHERE id IN ({ids})
