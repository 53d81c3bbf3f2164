-- holds/release: the buyer gives it back early
UPDATE holds
SET status = 'released', returns_at = NULL
WHERE id = :hold_id AND status = 'active' AND expires_at > NOW(6)
