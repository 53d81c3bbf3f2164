-- payment_events/list_parked_with_order: events whose order appeared while a crash kept both sides from looking, and
-- payments for holds that ended without one; a refund that came before its success goes on waiting
SELECT id FROM (
  SELECT payment_events.id, meaning FROM payment_events
  JOIN orders ON orders.id = payment_events.order_id
  WHERE payment_events.status = 'parked' AND (meaning <> 'refunded' OR orders.status IN ('paid', 'refunded'))
  UNION
  SELECT payment_events.id, meaning FROM payment_events
  JOIN orders ON orders.hold_id = payment_events.hold_id
  WHERE payment_events.status = 'parked' AND (meaning <> 'refunded' OR orders.status IN ('paid', 'refunded'))
  UNION
  SELECT payment_events.id, meaning FROM payment_events
  JOIN holds ON holds.id = payment_events.hold_id
  WHERE payment_events.status = 'parked' AND meaning = 'succeeded' AND payment_events.order_id IS NULL
    AND holds.status IN ('released', 'expired')
) AS waiting
ORDER BY FIELD(meaning, 'succeeded', 'failed', 'refunded'), id
LIMIT :limit
