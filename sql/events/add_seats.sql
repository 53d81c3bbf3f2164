-- events/add_seats: counts new seats, if the event takes as many
UPDATE events
SET seats = seats + :seats
WHERE id = :event_id AND cancelled_at IS NULL AND seats + :seats <= :most
