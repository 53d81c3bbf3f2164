-- holds/expire_overdue: one hold, if it has run out; waits for an order of it that is not committed yet, which goes first
UPDATE holds
SET status = 'expired', returns_at = NULL
WHERE id = :hold_id AND status = 'active' AND expires_at <= NOW(6)
