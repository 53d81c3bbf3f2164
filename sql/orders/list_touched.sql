-- orders/list_touched: which of these are not in that state any more, or are named by events without a final outcome. Two
-- walks along the indexes instead of a union, which would gather all their names first
SELECT orders.id
FROM orders
LEFT JOIN payment_events AS by_order FORCE INDEX (payment_events_order)
  ON by_order.order_id = orders.id AND by_order.status IN ('received', 'parked', 'dead')
LEFT JOIN payment_events AS by_hold FORCE INDEX (payment_events_hold)
  ON by_hold.hold_id = orders.hold_id AND by_hold.status IN ('received', 'parked', 'dead')
WHERE orders.id IN ({ids}) AND (orders.status <> '{status}' OR by_order.id IS NOT NULL OR by_hold.id IS NOT NULL)
