-- orders/find_by_hold: the orders that holds became
SELECT id, hold_id, status, total_minor, currency, created_at, pay_by, refunded_minor, refunded_currency, restocked
FROM orders
WHERE hold_id IN ({ids})
