-- audit/success_without_order: the order of an applied success is paid or refunded
SELECT events.id, CONCAT('an applied success has an order that is ', COALESCE(by_id.status, by_hold.status, 'missing'))
FROM payment_events AS events
LEFT JOIN orders AS by_id ON by_id.id = events.order_id
LEFT JOIN orders AS by_hold ON events.order_id IS NULL AND by_hold.hold_id = events.hold_id
WHERE events.id BETWEEN :first AND :last AND events.meaning = 'succeeded' AND events.status = 'applied'
  AND COALESCE(by_id.status, by_hold.status, 'missing') NOT IN ('paid', 'refunded')
