-- products/list_reserved: how many units of these products are reserved; a missing product has no row
SELECT id, reserved
FROM products
WHERE id IN ({ids})
