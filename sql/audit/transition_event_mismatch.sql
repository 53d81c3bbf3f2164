-- audit/transition_event_mismatch: a transition is caused by an applied event of the same order and of that meaning; an
-- order is paid or refunded for no other reason. The event of a failed attempt to pay is ignored: it changes only the trail.
-- A refund may belong to the order by its charge alone
SELECT order_events.order_id,
       CONCAT('transition ', order_events.id, ' to ', order_events.to_status, ' is due to ', CASE
         WHEN payment_event_id IS NULL THEN 'no payment event'
         WHEN events.id IS NULL THEN CONCAT('the payment event ', payment_event_id, ', which is gone')
         ELSE CONCAT('the payment event ', events.id, ' (', events.status, ', ', events.meaning, ')') END)
FROM order_events
JOIN orders ON orders.id = order_events.order_id
LEFT JOIN payment_events AS events ON events.id = order_events.payment_event_id
LEFT JOIN charges
  ON events.meaning = 'refunded' AND charges.provider = events.provider AND charges.name = events.txn_id
WHERE order_events.id BETWEEN :first AND :last
  AND CASE
    WHEN payment_event_id IS NULL THEN to_status IN ('paid', 'refunded') OR from_status <=> 'pending' AND to_status = 'pending'
    WHEN events.id IS NULL THEN TRUE
    WHEN events.status <> IF(from_status <=> 'pending' AND to_status = 'pending', 'ignored', 'applied') THEN TRUE
    WHEN events.meaning <> CASE
      WHEN to_status IN ('cancelled', 'pending') THEN 'failed'
      WHEN to_status = 'refunded' OR from_status = 'paid' THEN 'refunded'
      ELSE 'succeeded' END THEN TRUE
    ELSE NOT (COALESCE(events.order_id = orders.id, events.hold_id = orders.hold_id, FALSE)
      OR COALESCE(charges.order_id = orders.id, FALSE))
    END
