-- events/find_by_change: the event that a request has made
SELECT id
FROM events
WHERE change_id = :change_id
