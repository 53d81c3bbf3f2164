-- orders/list_clients: whose these orders are; 0: an anonymous caller's
SELECT orders.id, COALESCE(orders.client_id, order_owners.client_id, hold_owners.client_id, 0) AS client
FROM orders
LEFT JOIN order_owners FORCE INDEX (PRIMARY) ON order_owners.order_id = IF(orders.client_id IS NULL, orders.id, NULL)
LEFT JOIN hold_owners FORCE INDEX (PRIMARY) ON hold_owners.hold_id = IF(orders.client_id IS NULL, orders.hold_id, NULL)
WHERE orders.id IN ({ids})
