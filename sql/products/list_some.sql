-- products/list_some: all products that the requests of a round ask for, with the clock of the read
SELECT id, name, price_minor, currency, stock, available, NOW(6) AS server_time
FROM products
WHERE id IN ({ids})
