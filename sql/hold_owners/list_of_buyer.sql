-- hold_owners/list_of_buyer: holds of one client with this buyer, the newest first
SELECT hold_id
FROM hold_owners FORCE INDEX (hold_owners_buyer)
WHERE client_id = :client_id AND buyer = :buyer AND hold_id >= :first AND hold_id < :behind
ORDER BY hold_id DESC
LIMIT :limit
