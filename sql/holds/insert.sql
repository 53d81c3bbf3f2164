-- holds/insert: at the price of the moment; no row means the product does not exist or this very hold already does
INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
SELECT :hold_id, id, :qty, price_minor, currency,
       NOW(6) + INTERVAL :ttl_seconds SECOND, NOW(6) + INTERVAL :ttl_seconds SECOND
FROM products
WHERE id = :product_id
ON DUPLICATE KEY UPDATE id = holds.id
