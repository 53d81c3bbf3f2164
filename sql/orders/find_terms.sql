-- orders/find_terms: the clock and the deadline of the batch
SELECT CAST(@n AS DATETIME(6)), CAST(@e AS DATETIME(6))
