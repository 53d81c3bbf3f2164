-- orders/find: these orders with the columns that reads and payments need; of an order that an older version made, the owners say whose
-- it is
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, refunded_currency, restocked, seats,
       COALESCE(client_id, (SELECT order_owners.client_id FROM order_owners WHERE order_owners.order_id = orders.id),
                (SELECT hold_owners.client_id FROM hold_owners WHERE hold_owners.hold_id = orders.hold_id), 0) AS client
FROM orders
WHERE id IN ({ids})
