-- orders/list_touched: which of these orders have left that state, or are named by events without a final outcome. Counted
-- order by order: an EXISTS would first be materialised from the whole inbox, and a join would multiply the events of one
-- order
SELECT id
FROM orders
WHERE id IN ({ids}) AND (status <> {status}
  OR 0 < (SELECT COUNT(payment_events.id) FROM payment_events FORCE INDEX (payment_events_order)
          WHERE payment_events.order_id = orders.id AND payment_events.status IN ('received', 'parked', 'dead'))
  OR 0 < (SELECT COUNT(payment_events.id) FROM payment_events FORCE INDEX (payment_events_hold)
          WHERE payment_events.hold_id = orders.hold_id AND payment_events.status IN ('received', 'parked', 'dead')))
