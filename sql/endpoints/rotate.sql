-- endpoints/rotate: a new secret; the last one stays live beside it, unless it ends now
UPDATE endpoints
SET older_secret = IF(:end_old, NULL, secret), secret = :secret
WHERE id = :endpoint_id AND deleted_at IS NULL
