-- holds/expire_overdue: one hold, if it has run out; an order of it that is under way is waited for, and wins
UPDATE holds
SET status = 'expired', returns_at = NULL
WHERE id = :hold_id AND status = 'active' AND expires_at <= NOW(6)
