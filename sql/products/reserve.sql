-- products/reserve: the one place where units are spoken for, for a whole batch; no row means there are not enough
UPDATE products
SET reserved = reserved + {qty}
WHERE id = {product_id} AND available >= {qty}
