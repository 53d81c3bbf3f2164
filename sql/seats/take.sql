-- seats/take: gives free seats of a ticket type to holds. The count tells whether all of them were free. INTERVAL finds the place of a
-- seat in the list, which is sorted, and ELT the hold at this place
UPDATE seats FORCE INDEX (PRIMARY)
SET hold_id = ELT(INTERVAL(n, {seats}), {hold_ids})
WHERE product_id = {product_id} AND n IN ({seats}) AND hold_id IS NULL
