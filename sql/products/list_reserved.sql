-- products/list_reserved: how many units of these products are reserved; one that is missing has no row
SELECT id, reserved
FROM products
WHERE id IN ({ids})
