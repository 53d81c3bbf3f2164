-- audit/order_status_unexplained: the last transition of an order leads to its state
-- reads up to 11 rows for each: the whole trail of each order is read for its last row
SELECT orders.id, CONCAT('it is ', orders.status, ', its trail leads to ', COALESCE(latest.to_status, 'nothing'))
FROM orders
LEFT JOIN order_events AS latest
  ON latest.id = (SELECT MAX(steps.id) FROM order_events AS steps WHERE steps.order_id = orders.id)
WHERE orders.id BETWEEN :first AND :last AND NOT (latest.to_status <=> orders.status)
