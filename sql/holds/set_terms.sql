-- holds/set_terms: what all holds of a batch have in common: the clock (@n), their end (@e), and until the product is
-- read, no price (@p) and no currency (@c); the names are short because every row of the batch repeats them
SET @n = NOW(6), @e = NOW(6) + INTERVAL {ttl_seconds} SECOND, @p = 0, @c = ''
