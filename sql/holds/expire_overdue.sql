-- holds/expire_overdue: one hold, if it has run out; waits for a transaction that makes an order of it, and changes nothing
-- if that commits
UPDATE holds
SET status = 'expired', returns_at = NULL
WHERE id = :hold_id AND status = 'active' AND expires_at <= NOW(6)
