-- hold_owners/list_of_client: holds of one client, the newest first
SELECT hold_id
FROM hold_owners FORCE INDEX (hold_owners_client)
WHERE client_id = :client_id AND hold_id >= :first AND hold_id < :behind
ORDER BY hold_id DESC
LIMIT :limit
