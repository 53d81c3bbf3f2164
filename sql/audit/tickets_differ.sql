-- audit/tickets_differ: each unit of a ticket type has one ticket that is not void while its order is paid, with its seat, and none
-- otherwise. Those for a cancelled event become void while their orders are still paid. From the orders on: by some statistics, MySQL begins
-- with another table and sorts
SELECT STRAIGHT_JOIN orders.id, CONCAT('it is ', MIN(orders.status), ' and has ', COUNT(tickets.unit), ' tickets for ', COUNT(DISTINCT tickets.unit),
         ' of ', MIN(holds.qty), ' units of the ticket type ', MIN(holds.product_id))
FROM orders FORCE INDEX (PRIMARY)
JOIN holds FORCE INDEX (PRIMARY) ON holds.id = orders.hold_id
JOIN products FORCE INDEX (PRIMARY) ON products.id = holds.product_id AND products.kind IS NOT NULL
LEFT JOIN tickets FORCE INDEX (PRIMARY)
  ON tickets.order_id = orders.id AND tickets.product_id = holds.product_id AND tickets.status <> 'void'
WHERE orders.id BETWEEN :first AND :last
GROUP BY orders.id, holds.product_id
HAVING COUNT(tickets.unit) <> COUNT(DISTINCT tickets.unit)
  OR COUNT(tickets.unit) > IF(MIN(orders.status) = 'paid', MIN(holds.qty), 0)
  OR COUNT(tickets.unit) < IF(MIN(orders.status) = 'paid' AND MIN(products.cancelled_at) IS NULL, MIN(holds.qty), 0)
  OR MIN(products.kind) = 'seated' AND COUNT(tickets.unit) <> COUNT(DISTINCT tickets.seat)
