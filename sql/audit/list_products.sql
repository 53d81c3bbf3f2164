-- audit/list_products: a page of products with their counters
SELECT id, stock, available, reserved
FROM products
WHERE id >= :first
ORDER BY id
LIMIT :limit
