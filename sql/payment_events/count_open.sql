-- payment_events/count_open: the inbox by state, as far as somebody may have to do something about it; the oldest is the
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
