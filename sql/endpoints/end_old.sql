-- endpoints/end_old: ends the older of two live secrets
UPDATE endpoints
SET older_secret = NULL
WHERE id = :endpoint_id AND deleted_at IS NULL AND older_secret IS NOT NULL
