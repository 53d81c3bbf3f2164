-- payment_events/list_parked_for: what waited for these orders, the successes first; a refund goes on waiting for the
-- success of its charge
SELECT id FROM (
  SELECT payment_events.id, meaning FROM payment_events
  JOIN orders ON orders.id = payment_events.order_id
  WHERE payment_events.order_id IN ({ids}) AND payment_events.status = 'parked'
    AND (meaning <> 'refunded' OR orders.status IN ('paid', 'refunded'))
  UNION
  SELECT payment_events.id, meaning FROM payment_events
  JOIN orders ON orders.hold_id = payment_events.hold_id
  WHERE payment_events.hold_id IN ({hold_ids}) AND payment_events.status = 'parked'
    AND (meaning <> 'refunded' OR orders.status IN ('paid', 'refunded'))
) AS waiting
ORDER BY FIELD(meaning, 'succeeded', 'failed', 'refunded'), id
