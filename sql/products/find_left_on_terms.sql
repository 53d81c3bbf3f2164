-- products/find_left_on_terms: as products/find_left, with all terms and the clock
SELECT products.available, products.price_minor, products.currency, products.status, products.sale_starts_at,
       products.sale_ends_at, products.hold_ttl_seconds, products.order_ttl_seconds, products.max_qty,
       products.max_per_buyer, products.event_id, products.kind, products.event_sale_starts_at, products.event_sale_ends_at,
       products.event_max_per_buyer, products.cancelled_at, holds.created_at, holds.expires_at, NOW(6) AS server_time
FROM products
LEFT JOIN holds ON holds.id = {hold_id} AND holds.product_id = products.id
WHERE products.id = {product_id}
