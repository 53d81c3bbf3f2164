-- holds/find_next_due: microseconds until the next active hold runs out, of those with a deadline after `seen` and within a
-- second: a worker sleeps no longer. Negative when one has run out already
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), expires_at)
FROM holds FORCE INDEX (holds_due)
WHERE status = 'active' AND expires_at > :seen AND expires_at <= NOW(6) + INTERVAL 1 SECOND
ORDER BY expires_at
LIMIT 1
