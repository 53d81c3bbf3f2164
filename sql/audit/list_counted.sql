-- audit/list_counted: the units of a page of holds that counters in a range should have, a row for each hold and counter
SELECT holds.counted_on, holds.qty
FROM holds FORCE INDEX (PRIMARY)
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last AND holds.counted_on BETWEEN :first_counter AND :last_counter
  AND (holds.status = 'active' OR orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked)
UNION ALL
SELECT held_on, qty
FROM holds FORCE INDEX (PRIMARY)
WHERE id BETWEEN :first AND :last AND held_on BETWEEN :first_counter AND :last_counter AND status = 'active'
UNION ALL
SELECT holds.event_counted_on, holds.qty
FROM holds FORCE INDEX (PRIMARY)
LEFT JOIN orders ON orders.hold_id = holds.id
WHERE holds.id BETWEEN :first AND :last AND holds.event_counted_on BETWEEN :first_counter AND :last_counter
  AND (holds.status = 'active' OR orders.status IN ('pending', 'paid') OR orders.status = 'refunded' AND NOT orders.restocked)
