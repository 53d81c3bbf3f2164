-- audit/success_ignored_wrongly: a success is ignored only when another event owns its charge, or when it names no charge
-- and its order is paid or refunded
SELECT events.id, 'no other event accounts for the money of an ignored success'
FROM payment_events AS events
LEFT JOIN charges
  ON charges.provider = events.provider AND charges.name = events.txn_id AND charges.event_id <> events.id
LEFT JOIN orders AS by_id ON by_id.id = events.order_id
LEFT JOIN orders AS by_hold ON events.order_id IS NULL AND by_hold.hold_id = events.hold_id
WHERE events.id BETWEEN :first AND :last AND events.meaning = 'succeeded' AND events.status = 'ignored'
  AND charges.event_id IS NULL
  AND NOT (events.txn_id IS NULL AND COALESCE(by_id.status, by_hold.status, 'missing') IN ('paid', 'refunded'))
