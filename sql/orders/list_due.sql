-- orders/list_due: orders that were not paid in time, the oldest first, after a place in the index; a plain read that only
-- finds candidates. A payment that waits to be applied protects its order until too many attempts have begun. The statement
-- returns the clock even when nothing is due; the subqueries are counts, since an EXISTS may first be materialised from the whole inbox
-- reads up to 6 rows for each on MariaDB: an order is looked up in the inbox by either id, and passes the derived table
-- reads more while purge waits: only a first read and the walk for stragglers begin at the oldest deadline, and that walk rests
SELECT clock.now, due.id, due.hold_id, due.pay_by, TIMESTAMPDIFF(MICROSECOND, due.pay_by, clock.now) AS late_us
FROM (SELECT NOW(6) AS now) AS clock
LEFT JOIN (
  SELECT id, hold_id, pay_by
  FROM orders FORCE INDEX (orders_due)
  WHERE status = 'pending' AND pay_by <= NOW(6) - INTERVAL :age SECOND
    AND (pay_by > :from OR pay_by = :from AND id > :id)
    AND 0 = (
      SELECT COUNT(waiting.id) FROM payment_events AS waiting FORCE INDEX (payment_events_order)
      WHERE waiting.order_id = orders.id AND waiting.status IN ('received', 'parked')
        AND waiting.meaning = 'succeeded' AND waiting.attempts < :protecting_attempts)
    AND 0 = (
      SELECT COUNT(waiting.id) FROM payment_events AS waiting FORCE INDEX (payment_events_hold)
      WHERE waiting.hold_id = orders.hold_id AND waiting.status IN ('received', 'parked')
        AND waiting.meaning = 'succeeded' AND waiting.attempts < :protecting_attempts)
  ORDER BY pay_by, id
  LIMIT :limit
) AS due ON TRUE
