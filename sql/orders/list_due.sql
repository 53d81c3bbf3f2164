-- orders/list_due: what was not paid in time; a plain read that only says what to try
SELECT id, hold_id, TIMESTAMPDIFF(MICROSECOND, pay_by, NOW(6)) AS late_us
FROM orders
WHERE status = 'pending' AND pay_by <= NOW(6)
ORDER BY pay_by
LIMIT :limit
