-- events/cancel: once; its row stays locked until the commit, so that all of its ticket types are known
UPDATE events
SET cancelled_at = NOW(6)
WHERE id = :event_id AND cancelled_at IS NULL
