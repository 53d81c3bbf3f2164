-- clients/end_old: ends the older of two live tokens
UPDATE clients
SET older_digest = NULL
WHERE id = :client_id AND revoked_at IS NULL AND older_digest IS NOT NULL
