-- orders/list_clients: whose these orders are; 0: an anonymous caller's
SELECT id, COALESCE(client_id, (SELECT order_owners.client_id FROM order_owners WHERE order_owners.order_id = orders.id),
                    (SELECT hold_owners.client_id FROM hold_owners WHERE hold_owners.hold_id = orders.hold_id), 0) AS client
FROM orders
WHERE id IN ({ids})
