-- holds/delete: rows of a hold that keep no unit, after holds/reduce; the hold keeps at least one row
DELETE FROM holds
WHERE id = {hold_id} AND product_id IN ({product_ids})
