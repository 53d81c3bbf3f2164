-- payment_events/list_waiting_for: the events that wait for these orders and can be applied now, the successes first; a
-- refund waits for its charge even after it was given up. Where no event uses one of the two ids, the optimizer takes its
-- index for useless and may read the whole table instead. COUNT looks orders and charges up event by event; for EXISTS,
-- MariaDB first reads their whole indexes
-- reads up to 13 rows for each: an event passes a UNION, and its order and charge are looked up by either id
SELECT id FROM (
  SELECT id, status, meaning, order_id, hold_id, provider, txn_id FROM payment_events FORCE INDEX (payment_events_order)
  WHERE order_id IN ({ids}) AND status IN ('received', 'parked', 'dead')
  UNION
  SELECT id, status, meaning, order_id, hold_id, provider, txn_id FROM payment_events FORCE INDEX (payment_events_hold)
  WHERE hold_id IN ({hold_ids}) AND status IN ('received', 'parked', 'dead')
) AS waiting
WHERE CASE
  WHEN meaning <> 'refunded' THEN status <> 'dead' AND 0 <
      (SELECT COUNT(orders.id) FROM orders WHERE orders.id = waiting.order_id)
    + (SELECT COUNT(orders.id) FROM orders WHERE orders.hold_id = waiting.hold_id)
  WHEN txn_id IS NOT NULL THEN 0 <
    (SELECT COUNT(charges.event_id) FROM charges
     WHERE charges.provider = waiting.provider AND charges.name = waiting.txn_id)
  ELSE 0 <
      (SELECT COUNT(charges.event_id) FROM charges
       WHERE charges.provider = waiting.provider AND charges.order_id = waiting.order_id)
    + (SELECT COUNT(charges.event_id) FROM charges
       WHERE charges.provider = waiting.provider AND charges.hold_id = waiting.hold_id) END
ORDER BY FIELD(meaning, 'succeeded', 'failed', 'refunded'), id
