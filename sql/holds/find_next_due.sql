-- holds/find_next_due: how long until the next active hold runs out, of those that run out behind a moment and within a
-- second: a worker sleeps no longer. Negative when one already has
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), expires_at)
FROM holds FORCE INDEX (holds_due)
WHERE status = 'active' AND expires_at > :seen AND expires_at <= NOW(6) + INTERVAL 1 SECOND
ORDER BY expires_at
LIMIT 1
