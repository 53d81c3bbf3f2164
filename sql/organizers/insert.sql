-- organizers/insert: a new organizer
INSERT INTO organizers (name, change_id, created_by)
VALUES (:name, :change_id, :created_by)
