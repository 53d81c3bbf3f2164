-- audit/order_paid_twice: an order is paid at most once by its trail, by the inbox and by the charges. An event names its
-- order by either id, so the inbox is searched for each id, along its own index
-- reads up to 14 rows for each: each order is looked up in four tables, and each lookup reads one entry further
SELECT id, CONCAT('paid by ', transitions, ' transitions, ', by_order + by_hold, ' events, ', charged, ' charges')
FROM (
  SELECT orders.id,
    (SELECT COUNT(order_events.id) FROM order_events
     WHERE order_events.order_id = orders.id AND to_status = 'paid' AND from_status <> 'paid') AS transitions,
    (SELECT COUNT(payment_events.id) FROM payment_events FORCE INDEX (payment_events_order)
     WHERE payment_events.order_id = orders.id AND status = 'applied' AND meaning = 'succeeded') AS by_order,
    (SELECT COUNT(payment_events.id) FROM payment_events FORCE INDEX (payment_events_hold)
     WHERE payment_events.hold_id = orders.hold_id AND payment_events.order_id IS NULL AND status = 'applied'
       AND meaning = 'succeeded') AS by_hold,
    (SELECT COUNT(charges.event_id) FROM charges
     STRAIGHT_JOIN payment_events ON payment_events.id = charges.event_id
     WHERE charges.order_id = orders.id AND charges.status IN ('paid', 'refunded')
       AND payment_events.status = 'applied') AS charged
  FROM orders
  WHERE orders.id BETWEEN :first AND :last
) AS counted
WHERE transitions > 1 OR by_order + by_hold > 1 OR charged > 1
