-- holds/release_whole: the event of some of their units was cancelled; whether they have run out does not matter
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'released', returns_at = NULL
WHERE id IN ({ids}) AND status = 'active'
