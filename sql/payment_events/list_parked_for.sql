-- payment_events/list_parked_for: what waited for this order, the successes first
SELECT id FROM (
  SELECT id, meaning FROM payment_events WHERE order_id = :order_id AND status = 'parked'
  UNION
  SELECT id, meaning FROM payment_events WHERE hold_id = :hold_id AND status = 'parked'
) AS waiting
ORDER BY FIELD(meaning, 'succeeded', 'failed', 'refunded'), id
