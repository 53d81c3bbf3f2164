-- audit/trail_broken: a transition begins in the state in which the one before it ended, the first one in none
-- reads up to 20 rows for each: every transition passes the temporary tables of a window function
SELECT order_id, CONCAT('transition ', id, ' begins at ', COALESCE(from_status, 'nothing'), ', the one before ended at ',
                        COALESCE(before_status, 'nothing'))
FROM (
  SELECT order_id, id, from_status, LAG(to_status) OVER (PARTITION BY order_id ORDER BY id) AS before_status
  FROM order_events
  WHERE order_id BETWEEN :first AND :last
) AS steps
WHERE NOT (from_status <=> before_status)
