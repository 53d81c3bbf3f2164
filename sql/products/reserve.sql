-- products/reserve: the only statement that reserves units, for a whole batch; no affected row means there are not enough
UPDATE products
SET reserved = reserved + {qty}
WHERE id = {product_id} AND available >= {qty}
