-- client_trail/list: one page of a client's trail, the newest change first
SELECT id, action, detail, operator, at
FROM client_trail
WHERE client_id = :client_id AND id < :before
ORDER BY id DESC
LIMIT :limit
