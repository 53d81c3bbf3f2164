-- holds/expire: whole holds that have run out; an extension that was committed since they were listed wins. By primary key and in
-- its order: along the index of due times, two workers would deadlock
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'expired', returns_at = NULL
WHERE id IN ({ids}) AND status = 'active' AND expires_at <= NOW(6)
