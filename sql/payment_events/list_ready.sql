-- payment_events/list_ready: a page of parked or of dead events, and which of them can be applied now, since a crash kept
-- both sides from looking for each other: their order exists, their refund's charge exists (then also refunds that were
-- given up, unless they cannot be applied), or their hold ended without an order. The subqueries are counts, since an EXISTS
-- may first be materialised from a whole table
-- reads more while purge waits: the first page of a walk begins at the oldest event of the state; the worker rests after it
SELECT waiting.id, waiting.meaning, (
      waiting.meaning <> 'refunded' AND waiting.status = 'parked' AND (
        0 < (SELECT COUNT(orders.id) FROM orders FORCE INDEX (PRIMARY) WHERE orders.id = waiting.order_id)
        OR 0 < (SELECT COUNT(orders.id) FROM orders FORCE INDEX (orders_hold) WHERE orders.hold_id = waiting.hold_id)
        OR waiting.meaning = 'succeeded' AND 0 < (
          SELECT COUNT(holds.id) FROM holds FORCE INDEX (PRIMARY)
          WHERE holds.id = waiting.hold_id AND holds.status IN ('released', 'expired')))
   OR waiting.meaning = 'refunded' AND (waiting.status = 'parked' OR waiting.attempts < :attempts) AND (
        waiting.txn_id IS NOT NULL AND 0 < (
          SELECT COUNT(charges.event_id) FROM charges FORCE INDEX (PRIMARY)
          WHERE charges.provider = waiting.provider AND charges.name = waiting.txn_id)
        OR waiting.txn_id IS NULL AND 0 < (
          SELECT COUNT(charges.event_id) FROM charges FORCE INDEX (charges_order)
          WHERE charges.provider = waiting.provider AND charges.order_id = waiting.order_id)
        OR waiting.txn_id IS NULL AND 0 < (
          SELECT COUNT(charges.event_id) FROM charges FORCE INDEX (charges_hold)
          WHERE charges.provider = waiting.provider AND charges.hold_id = waiting.hold_id))) AS ready
FROM payment_events AS waiting FORCE INDEX (payment_events_status)
WHERE waiting.status = :status AND waiting.id > :after
ORDER BY waiting.id
LIMIT :limit
