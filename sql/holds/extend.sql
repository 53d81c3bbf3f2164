-- holds/extend: a later deadline, if the hold is as it was read; its units come back then
UPDATE holds FORCE INDEX (PRIMARY)
SET expires_at = :expires_at, returns_at = :expires_at, changes = changes + 1
WHERE id = :hold_id AND status = 'active' AND expires_at > NOW(6) AND expires_at = :expires_before AND changes = :changes
