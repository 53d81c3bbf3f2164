-- idempotency_keys/list_old: keys that are kept no longer, the oldest first, from a time on. They are kept for two days, twice
-- what is promised
-- reads more while purge waits: the first look after a start knows no key that was forgotten; later ones begin behind them
SELECT id, created_at
FROM idempotency_keys FORCE INDEX (idempotency_keys_age)
WHERE created_at >= :from AND created_at < NOW(6) - INTERVAL 48 HOUR
ORDER BY created_at
LIMIT :limit
