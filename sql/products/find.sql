-- products/find: one product and the clock it was read by
SELECT id, name, price_minor, currency, stock, available, NOW(6) AS server_time
FROM products
WHERE id = :product_id
