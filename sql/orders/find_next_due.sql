-- orders/find_next_due: microseconds until the next order is overdue that orders/list_due would list, of those with a
-- deadline after `seen` and within a second: a worker sleeps no longer. Negative when one is overdue. The subqueries are
-- counts, since an EXISTS may first be materialised from the whole inbox
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), pay_by)
FROM orders FORCE INDEX (orders_due)
WHERE status = 'pending' AND pay_by > :seen AND pay_by <= NOW(6) + INTERVAL 1 SECOND
  AND 0 = (
    SELECT COUNT(waiting.id) FROM payment_events AS waiting FORCE INDEX (payment_events_order)
    WHERE waiting.order_id = orders.id AND waiting.status IN ('received', 'parked')
      AND waiting.meaning = 'succeeded' AND waiting.attempts < :protecting_attempts)
  AND 0 = (
    SELECT COUNT(waiting.id) FROM payment_events AS waiting FORCE INDEX (payment_events_hold)
    WHERE waiting.hold_id = orders.hold_id AND waiting.status IN ('received', 'parked')
      AND waiting.meaning = 'succeeded' AND waiting.attempts < :protecting_attempts)
ORDER BY pay_by
LIMIT 1
