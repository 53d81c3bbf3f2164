-- audit/sum_holds: what the rows of a page of holds tell without their orders, by product: how many there are, how many
-- are ordered, the units of active ones, how many come back at another time than their own state says, and how many were made
-- later than now
SELECT product_id, COUNT(id), CAST(SUM(status = 'ordered') AS SIGNED),
       CAST(SUM(IF(status = 'active', qty, 0)) AS SIGNED),
       CAST(SUM(status <> 'ordered' AND NOT (returns_at <=> IF(status = 'active', expires_at, NULL))) AS SIGNED),
       CAST(SUM(status = 'active' AND created_at > NOW(6) + INTERVAL 5 SECOND) AS SIGNED)
FROM holds FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
GROUP BY product_id
