-- payment_events/count_unmatched_successes: successes that name no order of this shop but may belong to one
-- reads everything: a gauge of all unmatched events; the worker rests ten times as long as the count took
SELECT COUNT(id)
FROM payment_events FORCE INDEX (payment_events_status)
WHERE status = 'unmatched' AND meaning = 'succeeded'
