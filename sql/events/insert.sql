-- events/insert: a new event
INSERT INTO events (organizer_id, name, venue, starts_at, sale_starts_at, sale_ends_at, max_per_buyer, change_id, created_by)
VALUES (:organizer_id, :name, :venue, :starts_at, :sale_starts_at, :sale_ends_at, :max_per_buyer, :change_id, :created_by)
