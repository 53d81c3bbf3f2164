-- orders/find_next_due: how long until the next order is overdue that orders/list_due would list; negative when one is
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), pay_by)
FROM orders
WHERE status = 'pending'
  AND NOT EXISTS (
    SELECT 1 FROM payment_events AS waiting
    WHERE waiting.order_id = orders.id AND waiting.status IN ('received', 'parked')
      AND waiting.meaning = 'succeeded' AND waiting.attempts < 5)
  AND NOT EXISTS (
    SELECT 1 FROM payment_events AS waiting
    WHERE waiting.hold_id = orders.hold_id AND waiting.status IN ('received', 'parked')
      AND waiting.meaning = 'succeeded' AND waiting.attempts < 5)
ORDER BY pay_by
LIMIT 1
