-- orders/mark_all_paid: a batch of orders; changes no product: the units were reserved with the hold
UPDATE orders FORCE INDEX (PRIMARY)
SET status = 'paid'
WHERE id IN ({ids}) AND status = 'pending'
