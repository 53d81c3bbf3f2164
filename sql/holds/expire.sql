-- holds/expire: by primary key and in its order: along the index of due times, two workers would deadlock. For a tuple IN of
-- one row, MariaDB reads the whole table, so the ids are listed as well
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'expired', returns_at = NULL
WHERE id IN ({ids}) AND (id, product_id) IN ({rows}) AND status = 'active'
