-- orders/find_by_hold: the orders of these holds
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, refunded_currency, restocked, seats
FROM orders
WHERE hold_id IN ({ids})
