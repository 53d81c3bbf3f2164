-- audit/sum_trails: the orders of a page: how many there are, how many transitions they have, and how many have a trail that
-- does not lead to their state, or have money given back or units restocked although their state forbids it
-- reads up to 8 rows for each: an order has two transitions or more, each with an index entry and a row
SELECT COUNT(id), CAST(COALESCE(SUM(steps), 0) AS SIGNED),
       CAST(COALESCE(SUM(NOT COALESCE(status = SUBSTRING_INDEX(trail, '>', -1)
         AND (status = 'refunded' OR NOT restocked)
         AND CASE trail
           WHEN '>pending,pending>paid' THEN TRUE
           WHEN '>pending' THEN refunded_minor = 0
           WHEN '>pending,pending>cancelled' THEN refunded_minor = 0
           ELSE trail REGEXP
             '^>pending(,pending>pending){0,},(pending>paid|pending>cancelled,cancelled>paid)(,paid>paid){0,}(,paid>refunded)?$'
             OR trail REGEXP '^>pending(,pending>pending){0,}(,pending>cancelled)?$' AND refunded_minor = 0 END,
         FALSE)), 0) AS SIGNED)
FROM (
  SELECT orders.id, orders.status, orders.restocked, orders.refunded_minor, COUNT(order_events.id) AS steps,
         GROUP_CONCAT(COALESCE(from_status, ''), '>', to_status ORDER BY order_events.id SEPARATOR ',') AS trail
  FROM orders FORCE INDEX (PRIMARY)
  LEFT JOIN order_events ON order_events.order_id = orders.id
  WHERE orders.id BETWEEN :first AND :last
  GROUP BY orders.id, orders.status, orders.restocked, orders.refunded_minor
) AS trails
