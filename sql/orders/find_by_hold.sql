-- orders/find_by_hold: the orders of these holds, with the columns of orders/find
SELECT orders.id, orders.hold_id, orders.status, orders.total_minor, orders.currency, orders.created_at, orders.pay_by,
       orders.refunded_minor, orders.refunded_currency, orders.restocked, orders.seats,
       COALESCE(orders.client_id, order_owners.client_id, hold_owners.client_id, 0) AS client
FROM orders
LEFT JOIN order_owners FORCE INDEX (PRIMARY) ON order_owners.order_id = IF(orders.client_id IS NULL, orders.id, NULL)
LEFT JOIN hold_owners FORCE INDEX (PRIMARY) ON hold_owners.hold_id = IF(orders.client_id IS NULL, orders.hold_id, NULL)
WHERE orders.hold_id IN ({ids})
