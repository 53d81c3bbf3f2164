-- orders/list_due: what was not paid in time; a plain read that only says what to try. A payment that was
-- received and has not been applied yet counts as in time, unless it could not be, again and again
SELECT id, hold_id, TIMESTAMPDIFF(MICROSECOND, pay_by, NOW(6)) AS late_us
FROM orders
WHERE status = 'pending' AND pay_by <= NOW(6)
  AND NOT EXISTS (
    SELECT 1 FROM payment_events AS waiting
    WHERE waiting.order_id = orders.id AND waiting.status IN ('received', 'parked')
      AND waiting.meaning = 'succeeded' AND waiting.attempts < 5)
  AND NOT EXISTS (
    SELECT 1 FROM payment_events AS waiting
    WHERE waiting.hold_id = orders.hold_id AND waiting.status IN ('received', 'parked')
      AND waiting.meaning = 'succeeded' AND waiting.attempts < 5)
ORDER BY pay_by
LIMIT :limit
