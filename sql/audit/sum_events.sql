-- audit/sum_events: the events of a page: how many there are, how many are applied successes, how many are applied failures,
-- and how many need no other check: applied, with the time of that, and explained by the transition that they caused
SELECT COUNT(id), CAST(COALESCE(SUM(status = 'applied' AND meaning = 'succeeded'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning = 'failed'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning IN ('succeeded', 'failed') AND settled_at IS NOT NULL), 0)
         AS SIGNED)
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
