-- The identity of rows from before V15, 1,000 at a time, oldest first: the migration runs again until it changes no row.
-- @from is the age of the oldest row without an identity, and NULL when there is none. It moves along, so that no run reads
-- what an earlier run read; an index on the empty column would be read through its deleted entries again and again.
-- @until excludes rows that are inserted meanwhile: they have their identity.
SELECT COALESCE(@until, MAX(created_at))
INTO @until
FROM idempotency_keys;
SELECT MIN(created_at)
INTO @from
FROM (
  SELECT created_at
  FROM idempotency_keys FORCE INDEX (idempotency_keys_age)
  WHERE created_at BETWEEN COALESCE(@from, '1000-01-01') AND @until AND id IS NULL
  ORDER BY created_at
  LIMIT 1
) AS oldest;
UPDATE idempotency_keys FORCE INDEX (idempotency_keys_age)
SET id = UNHEX(SHA2(CONCAT(scope, 0x00, operation, 0x00, idempotency_key), 256))
WHERE created_at BETWEEN @from AND @until AND id IS NULL
ORDER BY created_at
LIMIT 1000
