-- holds/set_terms: the values that all holds of a batch share: price (@p), currency (@c), end (@e) and the clock (@n); the
-- names are short because every row of the batch repeats them. SELECT … INTO takes no lock; a subquery in SET takes a shared
-- one on the hot row, so that two batches would wait for each other. The aggregates give one row even when the product does
-- not exist
SELECT COALESCE(MAX(price_minor), 0), COALESCE(MAX(currency), ''), NOW(6), NOW(6) + INTERVAL {ttl_seconds} SECOND
INTO @p, @c, @n, @e
FROM products
WHERE id = {product_id}
