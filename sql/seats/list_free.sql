-- seats/list_free: free seats of a ticket type, the best rows first. The type's row was changed in the same transaction, so that no
-- other one takes or gives back a seat before the commit
SELECT n
FROM seats FORCE INDEX (seats_of_hold)
WHERE hold_id IS NULL AND product_id = {product_id}
ORDER BY row_rank, row_n, place
LIMIT {limit}
