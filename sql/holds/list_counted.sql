-- holds/list_counted: as holds/list_units, with the counters that have the units: an ordered hold is not held any more
SELECT id, product_id, qty, counted_on, event_counted_on, IF(status = 'ordered', NULL, held_on) AS held_on,
       COALESCE(LENGTH(seats) > 0, FALSE) AS has_seats
FROM holds
WHERE id IN ({ids})
