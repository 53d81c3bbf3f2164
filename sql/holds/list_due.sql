-- holds/list_due: what has run out, the oldest first; a plain read that only says what to try
SELECT id, product_id, qty, TIMESTAMPDIFF(MICROSECOND, expires_at, NOW(6)) AS late_us
FROM holds
WHERE status = 'active' AND expires_at <= NOW(6)
ORDER BY expires_at
LIMIT :limit
