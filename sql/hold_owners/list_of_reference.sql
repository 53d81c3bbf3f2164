-- hold_owners/list_of_reference: holds of one client with this reference, the newest first
SELECT hold_id
FROM hold_owners FORCE INDEX (hold_owners_reference)
WHERE client_id = :client_id AND reference = :reference AND hold_id >= :first AND hold_id < :behind
ORDER BY hold_id DESC
LIMIT :limit
