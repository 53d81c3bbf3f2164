-- holds/find_next_due: how long until the next active hold runs out; negative when one already has
SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(expires_at))
FROM holds
WHERE status = 'active'
