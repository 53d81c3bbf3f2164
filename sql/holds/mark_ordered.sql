-- holds/mark_ordered: these holds become orders; their units come back when the orders are not paid in time, which one of them
-- tells
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'ordered', returns_at = (SELECT pay_by FROM orders WHERE id = {order_id})
WHERE id IN ({ids}) AND status = 'active' AND expires_at > NOW(6) AND changes = {changes}
