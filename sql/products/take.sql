-- products/take: reserves the units of a whole batch of holds; no row means that there are too few, or that the terms are
-- not those that the holds were written with
UPDATE products
SET reserved = reserved + {qty}
WHERE id = {product_id} AND available >= {qty} AND price_minor <=> {price_minor} AND currency <=> {currency} AND plain
