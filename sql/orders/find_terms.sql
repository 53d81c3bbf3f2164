-- orders/find_terms: the times of a batch, from one of its orders
SELECT created_at, pay_by
FROM orders
WHERE id = {order_id}
