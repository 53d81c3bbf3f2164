-- audit/sum_holds: the rows of a page of holds, without their orders, by product: how many there are, how many are ordered,
-- the units of active ones, how many return at another time than their own state requires, and how many active ones have a
-- creation time in the future
SELECT product_id, COUNT(id), CAST(SUM(status = 'ordered') AS SIGNED),
       CAST(SUM(IF(status = 'active', qty, 0)) AS SIGNED),
       CAST(SUM(status <> 'ordered' AND NOT (returns_at <=> IF(status = 'active', expires_at, NULL))) AS SIGNED),
       CAST(SUM(status = 'active' AND created_at > NOW(6) + INTERVAL 5 SECOND) AS SIGNED)
FROM holds FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
GROUP BY product_id
