-- orders/list_ids_by_age: orders of one state, the newest first
SELECT id, created_at
FROM orders FORCE INDEX (orders_age)
WHERE status = :status AND created_at >= :from AND created_at <= :at AND (created_at < :at OR id < :id)
ORDER BY created_at DESC, id DESC
LIMIT :limit
