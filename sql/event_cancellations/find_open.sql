-- event_cancellations/find_open: the next event whose end is under way
SELECT event_id
FROM event_cancellations FORCE INDEX (event_cancellations_open)
WHERE finished_at IS NULL AND event_id > :after
ORDER BY event_id
LIMIT 1
