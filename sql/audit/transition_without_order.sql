-- audit/transition_without_order: the order of a transition exists
SELECT order_events.order_id, CONCAT('transition ', order_events.id, ' is that of no order')
FROM order_events
LEFT JOIN orders ON orders.id = order_events.order_id
WHERE order_events.id BETWEEN :first AND :last AND orders.id IS NULL
