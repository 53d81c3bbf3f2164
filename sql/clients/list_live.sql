-- clients/list_live: who may call, each second: clients that are not revoked, each with its keys
SELECT clients.id, name, role, token_digest, older_digest, kid, public_key
FROM clients
LEFT JOIN client_keys ON client_id = clients.id
WHERE revoked_at IS NULL
ORDER BY clients.id
LIMIT :limit
