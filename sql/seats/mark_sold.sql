-- seats/mark_sold: the orders of holds were paid
UPDATE seats FORCE INDEX (seats_of_hold)
SET sold = TRUE
WHERE hold_id IN ({hold_ids})
