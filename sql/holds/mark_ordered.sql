-- holds/mark_ordered: holds become their orders and wait for the payment as long as those do (@e)
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'ordered', returns_at = @e
WHERE id IN ({ids}) AND status = 'active' AND expires_at > NOW(6)
