-- due_refunds/count_open: charges with due refunds that are open, of all cancelled events
-- reads everything: a gauge of all open due refunds; the worker rests ten times as long as the count took
SELECT COUNT(DISTINCT charge_event_id)
FROM due_refunds FORCE INDEX (due_refunds_open)
WHERE settled_at IS NULL
