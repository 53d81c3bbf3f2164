-- holds/mark_ordered_each: as holds/mark_ordered, for orders with different times: the units of each hold come back when its
-- own order is not paid in time. The orders of a batch are made at one time, which one of them tells
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'ordered',
    returns_at = (SELECT created_at FROM orders WHERE id = {order_id}) + INTERVAL CASE holds.id {cases} END SECOND
WHERE id IN ({ids}) AND status = 'active' AND expires_at > NOW(6) AND changes = {changes}
