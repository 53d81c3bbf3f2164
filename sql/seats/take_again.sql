-- seats/take_again: gives a hold the seats that it had before, those that are free, for a payment that came late
UPDATE seats FORCE INDEX (seats_label)
SET hold_id = {hold_id}, sold = TRUE
WHERE product_id = {product_id} AND label IN ({labels}) AND hold_id IS NULL
