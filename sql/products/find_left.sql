-- products/find_left: what a batch of holds left, the terms, and the times of one of its holds; no row means that there is no
-- such product
SELECT products.available, products.price_minor, products.currency, products.plain,
       COALESCE(holds.expires_at, NOW(6)) - INTERVAL {ttl_seconds} SECOND, COALESCE(holds.expires_at, NOW(6))
FROM products
LEFT JOIN holds ON holds.id = {hold_id} AND holds.product_id = products.id
WHERE products.id = {product_id}
