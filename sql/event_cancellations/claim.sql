-- event_cancellations/claim: begins a step, if no other instance has made one since it was read; the row stays locked until the commit
UPDATE event_cancellations
SET steps = steps + 1
WHERE event_id = :event_id AND steps = :steps AND finished_at IS NULL
