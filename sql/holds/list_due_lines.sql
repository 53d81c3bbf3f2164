-- holds/list_due_lines: all rows of these holds, of those that have run out: a hold ends as a whole
SELECT id, product_id, qty, expires_at, TIMESTAMPDIFF(MICROSECOND, expires_at, NOW(6))
FROM holds FORCE INDEX (PRIMARY)
WHERE id IN ({ids}) AND status = 'active' AND expires_at <= NOW(6)
ORDER BY id, product_id
