-- orders/find_by_hold: the orders of these holds, with the columns of orders/find
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, refunded_currency, restocked, seats,
       COALESCE(client_id, (SELECT order_owners.client_id FROM order_owners WHERE order_owners.order_id = orders.id),
                (SELECT hold_owners.client_id FROM hold_owners WHERE hold_owners.hold_id = orders.hold_id), 0) AS client
FROM orders
WHERE hold_id IN ({ids})
