-- payment_events/list_ready: parked events that wait for nothing any more, since a crash kept both sides from looking: their
-- order is there, their refund's charge is (then also refunds that were given up, unless they cannot be applied), or their
-- hold ended without an order
SELECT id FROM payment_events AS waiting
WHERE (status = 'parked' OR status = 'dead' AND meaning = 'refunded' AND attempts < :attempts) AND (
      meaning <> 'refunded' AND EXISTS (SELECT 1 FROM orders WHERE orders.id = waiting.order_id)
   OR meaning <> 'refunded' AND EXISTS (SELECT 1 FROM orders WHERE orders.hold_id = waiting.hold_id)
   OR meaning = 'succeeded' AND EXISTS (
        SELECT 1 FROM holds WHERE holds.id = waiting.hold_id AND holds.status IN ('released', 'expired'))
   OR meaning = 'refunded' AND txn_id IS NOT NULL
      AND EXISTS (SELECT 1 FROM charges WHERE charges.provider = waiting.provider AND charges.name = waiting.txn_id)
   OR meaning = 'refunded' AND txn_id IS NULL
      AND EXISTS (SELECT 1 FROM charges WHERE charges.provider = waiting.provider AND charges.order_id = waiting.order_id)
   OR meaning = 'refunded' AND txn_id IS NULL
      AND EXISTS (SELECT 1 FROM charges WHERE charges.provider = waiting.provider AND charges.hold_id = waiting.hold_id))
ORDER BY FIELD(meaning, 'succeeded', 'failed', 'refunded'), id
LIMIT :limit
