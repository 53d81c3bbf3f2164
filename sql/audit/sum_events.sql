-- audit/sum_events: the events of a page, the applied successes, the applied failures, and those that need no other look:
-- applied, with the time of it, and explained by the transition that they caused
SELECT COUNT(id), CAST(COALESCE(SUM(status = 'applied' AND meaning = 'succeeded'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning = 'failed'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning IN ('succeeded', 'failed') AND settled_at IS NOT NULL), 0)
         AS SIGNED)
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
