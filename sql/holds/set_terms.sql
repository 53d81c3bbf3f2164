-- holds/set_terms: what all holds of a batch have in common: price (@p), currency (@c), end (@e) and the clock (@n); the
-- names are short because every row of the batch repeats them
SET @p = COALESCE((SELECT price_minor FROM products WHERE id = {product_id}), 0),
    @c = COALESCE((SELECT currency FROM products WHERE id = {product_id}), ''),
    @n = NOW(6),
    @e = NOW(6) + INTERVAL {ttl_seconds} SECOND
