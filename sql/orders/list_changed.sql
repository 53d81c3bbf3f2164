-- orders/list_changed: which of these are not pending any more
SELECT id
FROM orders
WHERE id IN ({ids}) AND status <> 'pending'
