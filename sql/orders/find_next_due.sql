-- orders/find_next_due: how long until the next pending order is overdue; negative when one already is
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(pay_by))
FROM orders
WHERE status = 'pending'
