-- products/find_terms: the terms of the batch and the units left after it; no row means that the product does not exist
SELECT available, @p, @c, CAST(@n AS DATETIME(6)), CAST(@e AS DATETIME(6))
FROM products
WHERE id = {product_id}
