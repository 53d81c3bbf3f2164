-- holds/mark_ordered: these holds become orders; their units come back when the orders are not paid in time (@e)
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'ordered', returns_at = @e
WHERE id IN ({ids}) AND status = 'active' AND expires_at > NOW(6)
