-- events/insert: a new event
INSERT INTO events (organizer_id, name, venue, starts_at, sale_starts_at, sale_ends_at, change_id, created_by)
VALUES (:organizer_id, :name, :venue, :starts_at, :sale_starts_at, :sale_ends_at, :change_id, :created_by)
