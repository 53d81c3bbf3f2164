-- seats/give_back: the seats that holds have of a ticket type are free again, in the transaction that puts their units back on sale
UPDATE seats FORCE INDEX (seats_of_hold)
SET hold_id = NULL, sold = FALSE
WHERE hold_id IN ({hold_ids}) AND product_id = {product_id}
