-- products/find_terms: the terms of the batch and what is left after it; no row means there is no such product
SELECT available, @p, @c, CAST(@n AS DATETIME(6)), CAST(@e AS DATETIME(6))
FROM products
WHERE id = {product_id}
