-- readiness/insert_no_idempotency_keys: inserts no row; fails when the table is missing, locked or read-only, or INSERT is
-- not granted
INSERT INTO idempotency_keys (scope, operation, idempotency_key, fingerprint, resource_id)
SELECT scope, operation, idempotency_key, fingerprint, resource_id
FROM idempotency_keys
WHERE FALSE
