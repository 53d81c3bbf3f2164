-- holds/return_later: the order of this hold may be paid for longer, so its units come back later
UPDATE holds FORCE INDEX (PRIMARY)
SET returns_at = :returns_at
WHERE id = :hold_id AND status = 'ordered' AND returns_at IS NOT NULL
