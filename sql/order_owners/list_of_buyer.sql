-- order_owners/list_of_buyer: orders of one client with this buyer, the newest first
SELECT order_id, created_at
FROM order_owners FORCE INDEX (order_owners_buyer)
WHERE client_id = :client_id AND buyer = :buyer AND created_at >= :from AND created_at <= :at
  AND (created_at < :at OR order_id < :id)
ORDER BY created_at DESC, order_id DESC
LIMIT :limit
