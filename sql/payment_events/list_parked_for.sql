-- payment_events/list_parked_for: what waited for these orders, the successes first
SELECT id FROM (
  SELECT id, meaning FROM payment_events WHERE order_id IN ({ids}) AND status = 'parked'
  UNION
  SELECT id, meaning FROM payment_events WHERE hold_id IN ({hold_ids}) AND status = 'parked'
) AS waiting
ORDER BY FIELD(meaning, 'succeeded', 'failed', 'refunded'), id
