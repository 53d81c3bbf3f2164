-- holds/list_due_of_product: as holds/list_due, for one product, so that no buyer is refused units of a hold that has run out.
-- Overdue orders are in the same index and are skipped
-- reads more while purge waits: only a late payment of a cancelled order begins at the oldest deadline; a refusal begins at
-- its first row
SELECT clock.now, due.id, due.product_id, due.qty, due.returns_at,
       TIMESTAMPDIFF(MICROSECOND, due.returns_at, clock.now) AS late_us
FROM (SELECT NOW(6) AS now) AS clock
LEFT JOIN (
  SELECT id, product_id, qty, returns_at
  FROM holds FORCE INDEX (holds_returning)
  WHERE product_id = :product_id AND returns_at <= NOW(6) AND status = 'active'
    AND (returns_at > :from OR returns_at = :from AND id > :id)
  ORDER BY returns_at, id
  LIMIT :limit
) AS due ON TRUE
