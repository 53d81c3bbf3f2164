-- products/list: one page by id, without retired products; the caller asks for one row more than it shows, to see whether
-- there is a next page. Each state is read by itself, so that a run of retired products costs nothing
(SELECT id, sku, name, price_minor, currency, stock, available, status, sale_starts_at, sale_ends_at, hold_ttl_seconds,
       order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata, event_id, kind, event_sale_starts_at,
       event_sale_ends_at, event_max_per_buyer, cancelled_at, NOW(6) AS server_time
 FROM products FORCE INDEX (products_by_status)
 WHERE status = 'on_sale' AND id > :after
 ORDER BY id
 LIMIT :limit)
UNION ALL
(SELECT id, sku, name, price_minor, currency, stock, available, status, sale_starts_at, sale_ends_at, hold_ttl_seconds,
       order_ttl_seconds, max_qty, max_per_buyer, max_hold_seconds, metadata, event_id, kind, event_sale_starts_at,
       event_sale_ends_at, event_max_per_buyer, cancelled_at, NOW(6) AS server_time
 FROM products FORCE INDEX (products_by_status)
 WHERE status = 'paused' AND id > :after
 ORDER BY id
 LIMIT :limit)
ORDER BY id
LIMIT :limit
