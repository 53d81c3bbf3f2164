-- orders/set_terms: what all orders of a batch have in common: the clock (@n) and the deadline (@e)
SET @n = NOW(6), @e = NOW(6) + INTERVAL {ttl_seconds} SECOND
