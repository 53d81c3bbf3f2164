-- holds/release: the buyer gives a hold back before its deadline
UPDATE holds
SET status = 'released', returns_at = NULL
WHERE id = :hold_id AND status = 'active' AND expires_at > NOW(6)
