-- audit/applied_event_without_effect: an applied event causes exactly one transition. A refund belongs to the order of its
-- charge; a refund of a charge that was due for refund changes no order. Without `all`, only refunds are checked
-- reads up to 8 rows for each: an event is joined to its charge, its order by either id, and the whole trail of that order
SELECT id, CONCAT('an applied event (', meaning, ') is the reason of ', transitions, ' transitions')
FROM (
  SELECT events.id, events.meaning, COUNT(order_events.id) AS transitions, MAX(events.provider) AS provider,
         MAX(events.txn_id) AS txn_id, MAX(COALESCE(by_id.id, by_hold.id, events.order_id)) AS order_id,
         MAX(COALESCE(by_id.hold_id, events.hold_id)) AS hold_id
  FROM payment_events AS events
  LEFT JOIN charges
    ON events.meaning = 'refunded' AND charges.provider = events.provider AND charges.name = events.txn_id
  LEFT JOIN orders AS by_id ON by_id.id = events.order_id
  LEFT JOIN orders AS by_hold ON events.order_id IS NULL AND by_hold.hold_id = events.hold_id
  LEFT JOIN order_events
    ON order_events.order_id = COALESCE(charges.order_id, by_id.id, by_hold.id)
    AND order_events.payment_event_id = events.id
  WHERE events.id BETWEEN :first AND :last AND events.status = 'applied' AND (events.meaning = 'refunded' OR :all)
  GROUP BY events.id, events.meaning
  HAVING COUNT(order_events.id) <> 1
) AS counted
WHERE transitions > 1 OR meaning <> 'refunded' OR 0 =
  (SELECT COUNT(charges.event_id) FROM charges
   STRAIGHT_JOIN payment_events AS owners FORCE INDEX (PRIMARY) ON owners.id = charges.event_id
   WHERE charges.provider = counted.provider AND charges.name = counted.txn_id
     AND (charges.refunded_minor > 0 OR charges.status = 'refunded') AND owners.status IN ('refund_due', 'refunded'))
  + (SELECT COUNT(charges.event_id) FROM charges
   STRAIGHT_JOIN payment_events AS owners FORCE INDEX (PRIMARY) ON owners.id = charges.event_id
   WHERE charges.order_id = counted.order_id
     AND (charges.refunded_minor > 0 OR charges.status = 'refunded') AND owners.status IN ('refund_due', 'refunded'))
  + (SELECT COUNT(charges.event_id) FROM charges
   STRAIGHT_JOIN payment_events AS owners FORCE INDEX (PRIMARY) ON owners.id = charges.event_id
   WHERE charges.hold_id = counted.hold_id
     AND (charges.refunded_minor > 0 OR charges.status = 'refunded') AND owners.status IN ('refund_due', 'refunded'))
