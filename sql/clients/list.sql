-- clients/list: one page of clients, by id
SELECT id, name, role, older_digest IS NOT NULL AS has_older, created_at, revoked_at
FROM clients
WHERE id > :after
ORDER BY id
LIMIT :limit
