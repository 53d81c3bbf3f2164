-- holds/expire: by primary key and in its order: along the index of due times two workers would deadlock
UPDATE holds FORCE INDEX (PRIMARY)
SET status = 'expired', returns_at = NULL
WHERE (id, product_id) IN ({rows}) AND status = 'active'
