-- unmatched_objects/list_waiting: unmatched events that name one of these objects
SELECT event_id
FROM unmatched_objects FORCE INDEX (PRIMARY)
WHERE provider = {provider} AND object_id IN ({ids})
LIMIT 100
