-- audit/sum_events: in a page, the number of events, of applied successes, of applied failures, and of events that need no
-- other check: applied, with the time of it, and checked with the transition that they caused
SELECT COUNT(id), CAST(COALESCE(SUM(status = 'applied' AND meaning = 'succeeded'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning = 'failed'), 0) AS SIGNED),
       CAST(COALESCE(SUM(status = 'applied' AND meaning IN ('succeeded', 'failed') AND settled_at IS NOT NULL), 0)
         AS SIGNED)
FROM payment_events FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last
