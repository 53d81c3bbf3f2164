-- idempotency_keys/list_old: keys past their time, the oldest first, from a time on. They are kept for two days, twice the
-- promised time
-- reads more while purge waits: the first read after a start begins at deleted keys; later ones begin behind them
SELECT id, created_at
FROM idempotency_keys FORCE INDEX (idempotency_keys_age)
WHERE created_at >= :from AND created_at < NOW(6) - INTERVAL 48 HOUR
ORDER BY created_at
LIMIT :limit
