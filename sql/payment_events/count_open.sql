-- payment_events/count_open: the events by state, for states in which a worker or an operator has to act; the oldest is the
-- one with the smallest id
-- reads everything: a gauge of all open events; the worker rests ten times as long as the count took
SELECT open.status, open.count,
       CAST(TIMESTAMPDIFF(MICROSECOND, oldest.received_at, NOW(6)) AS SIGNED) AS oldest_us
FROM (
  SELECT status, COUNT(id) AS count, MIN(id) AS id
  FROM payment_events
  WHERE status IN ('received', 'parked', 'quarantined', 'refund_due', 'dead')
  GROUP BY status
) AS open
JOIN payment_events AS oldest ON oldest.id = open.id
