-- orders/find_placed: these orders with their owners; an instance of an earlier version made orders without one, whose owner is that of
-- the hold. For all others, no owner of a hold is looked up: the key is NULL
SELECT orders.id, orders.hold_id, orders.status, orders.total_minor, orders.currency, orders.created_at, orders.pay_by,
       orders.refunded_minor, orders.refunded_currency, orders.restocked, orders.seats,
       COALESCE(orders.client_id, order_owners.client_id, hold_owners.client_id, 0) AS client,
       COALESCE(order_owners.client_id, hold_owners.client_id) AS client_id,
       COALESCE(order_owners.buyer, hold_owners.buyer) AS buyer, order_owners.reference, order_owners.metadata
FROM orders
LEFT JOIN order_owners FORCE INDEX (PRIMARY) ON order_owners.order_id = orders.id
LEFT JOIN hold_owners FORCE INDEX (PRIMARY) ON hold_owners.hold_id = IF(orders.client_id IS NULL, orders.hold_id, NULL)
WHERE orders.id IN ({ids})
