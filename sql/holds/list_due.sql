-- holds/list_due: holds that have run out, the oldest first, after a place in the index; a plain read that only finds
-- candidates. It returns the clock even when nothing is due
-- reads more while purge waits: only a first read and the walk for stragglers begin at the oldest deadline, and that walk rests
SELECT clock.now, due.id, due.product_id, due.qty, due.expires_at,
       TIMESTAMPDIFF(MICROSECOND, due.expires_at, clock.now) AS late_us
FROM (SELECT NOW(6) AS now) AS clock
LEFT JOIN (
  SELECT id, product_id, qty, expires_at
  FROM holds FORCE INDEX (holds_due)
  WHERE status = 'active' AND expires_at <= NOW(6) - INTERVAL :age SECOND
    AND (expires_at > :from OR expires_at = :from AND (id > :id OR id = :id AND product_id > :product_id))
  ORDER BY expires_at, id, product_id
  LIMIT :limit
) AS due ON TRUE
