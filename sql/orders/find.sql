-- orders/find: these orders with the columns that reads and payments need
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, refunded_currency, restocked, seats
FROM orders
WHERE id IN ({ids})
