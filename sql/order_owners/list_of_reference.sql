-- order_owners/list_of_reference: orders of one client with this reference, the newest first
SELECT order_id, created_at
FROM order_owners FORCE INDEX (order_owners_reference)
WHERE client_id = :client_id AND reference = :reference AND created_at >= :from AND created_at <= :at
  AND (created_at < :at OR order_id < :id)
ORDER BY created_at DESC, order_id DESC
LIMIT :limit
