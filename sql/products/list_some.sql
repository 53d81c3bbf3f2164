-- products/list_some: all products that a round was asked for, and the clock they were read by
SELECT id, name, price_minor, currency, stock, available, NOW(6) AS server_time
FROM products
WHERE id IN ({ids})
