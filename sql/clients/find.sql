-- clients/find: one client
SELECT id, name, role, older_digest IS NOT NULL AS has_older, created_at, revoked_at
FROM clients
WHERE id = :client_id
