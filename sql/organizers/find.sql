-- organizers/find: an organizer
SELECT id, name
FROM organizers
WHERE id = :organizer_id
