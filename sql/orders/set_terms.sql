-- orders/set_terms: the values that all orders of a batch share: the clock (@n) and the deadline (@e)
SET @n = NOW(6), @e = NOW(6) + INTERVAL {ttl_seconds} SECOND
