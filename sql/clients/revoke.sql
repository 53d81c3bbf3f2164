-- clients/revoke: ends a client for good, with all its tokens and keys
UPDATE clients
SET revoked_at = NOW(6), changes = changes + 1
WHERE id = :client_id AND revoked_at IS NULL
