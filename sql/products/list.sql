-- products/list: one page by id; the caller asks for one row more than it shows, to see whether there is a next page
SELECT id, name, price_minor, currency, stock, available, NOW(6) AS server_time
FROM products
WHERE id > :after
ORDER BY id
LIMIT :limit
