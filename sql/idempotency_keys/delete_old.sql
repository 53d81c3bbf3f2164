-- idempotency_keys/delete_old: keys are kept for two days, twice what is promised
DELETE FROM idempotency_keys
WHERE created_at < NOW(6) - INTERVAL 48 HOUR
ORDER BY created_at
LIMIT :limit
