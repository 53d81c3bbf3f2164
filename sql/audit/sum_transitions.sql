-- audit/sum_transitions: the transitions of a page: how many there are, how many a success caused, how many a failure caused,
-- and how many are explained: by an applied event of that order and meaning, and for a success also by the charge that it
-- owns, which agrees with the order. A refund may belong to the order by its charge alone. The event of a failed attempt to
-- pay is ignored. And how many were told
SELECT COUNT(order_events.id), CAST(COALESCE(SUM(events.meaning = 'succeeded'), 0) AS SIGNED),
       CAST(COALESCE(SUM(events.meaning = 'failed' AND events.status = 'applied'), 0) AS SIGNED),
       CAST(COALESCE(SUM(CASE
         WHEN from_status = 'pending' AND to_status = 'pending' THEN reason = 'payment_attempt_failed'
           AND events.status = 'ignored' AND events.meaning = 'failed'
           AND COALESCE(events.order_id = orders.id, events.hold_id = orders.hold_id, FALSE)
         WHEN payment_event_id IS NULL THEN to_status NOT IN ('paid', 'refunded')
         WHEN events.status <> 'applied' THEN FALSE
         WHEN events.meaning = 'refunded' THEN (to_status = 'refunded' OR (from_status = 'paid' AND to_status = 'paid'))
           AND (COALESCE(events.order_id = orders.id, events.hold_id = orders.hold_id, FALSE)
             OR COALESCE(charges.order_id = orders.id, FALSE))
         WHEN NOT COALESCE(events.order_id = orders.id, events.hold_id = orders.hold_id, FALSE) THEN FALSE
         WHEN events.meaning = 'failed' THEN to_status = 'cancelled'
         ELSE to_status = 'paid' AND from_status <> 'paid' AND charges.event_id = events.id
           AND charges.order_id = orders.id AND charges.status = orders.status
           AND charges.refunded_minor = orders.refunded_minor END), 0) AS SIGNED),
       CAST(COALESCE(SUM(told), 0) AS SIGNED)
FROM order_events FORCE INDEX (PRIMARY)
LEFT JOIN payment_events AS events ON events.id = order_events.payment_event_id
LEFT JOIN charges
  ON events.meaning <> 'failed' AND charges.provider = events.provider
  AND charges.name = COALESCE(events.txn_id, CONCAT(0x1f, events.idempotency_key))
LEFT JOIN orders ON order_events.payment_event_id IS NOT NULL AND orders.id = order_events.order_id
WHERE order_events.id BETWEEN :first AND :last
