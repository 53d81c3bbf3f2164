-- organizers/find_by_change: the organizer that a request has made
SELECT id, name
FROM organizers
WHERE change_id = :change_id
