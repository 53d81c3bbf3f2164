-- orders/list_due: what was not paid in time; a plain read that only says what to try. A payment that came before its
-- order and has not been applied yet counts as in time
SELECT id, hold_id, TIMESTAMPDIFF(MICROSECOND, pay_by, NOW(6)) AS late_us
FROM orders
WHERE status = 'pending' AND pay_by <= NOW(6)
  AND NOT EXISTS (
    SELECT 1 FROM payment_events AS waiting
    WHERE waiting.order_id = orders.id AND waiting.status = 'parked' AND waiting.meaning = 'succeeded')
  AND NOT EXISTS (
    SELECT 1 FROM payment_events AS waiting
    WHERE waiting.hold_id = orders.hold_id AND waiting.status = 'parked' AND waiting.meaning = 'succeeded')
ORDER BY pay_by
LIMIT :limit
