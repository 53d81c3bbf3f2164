-- orders/find: orders as their readers and the payment machine see them
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, refunded_currency, restocked
FROM orders
WHERE id IN ({ids})
