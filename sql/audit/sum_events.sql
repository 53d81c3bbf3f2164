-- audit/sum_events: the events of a page: how many there are, how many applied successes, how many applied failures, and how
-- many that need no other check: applied, with the time of that, and explained by their transition
SELECT COUNT(id), CAST(COALESCE(SUM(status = 'applied' AND meaning = 'succeeded'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning = 'failed'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning IN ('succeeded', 'failed') AND settled_at IS NOT NULL), 0)
         AS SIGNED)
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
