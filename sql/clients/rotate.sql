-- clients/rotate: a new token; the last one stays live beside it, unless it ends now
UPDATE clients
SET older_digest = IF(:end_old, NULL, token_digest), token_digest = :token_digest
WHERE id = :client_id AND revoked_at IS NULL
