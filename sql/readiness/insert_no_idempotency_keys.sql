-- readiness/insert_no_idempotency_keys: inserts no row; fails when the table is missing, locked or read-only, or none may be inserted
INSERT INTO idempotency_keys (scope, operation, idempotency_key, fingerprint, resource_id)
SELECT scope, operation, idempotency_key, fingerprint, resource_id
FROM idempotency_keys
WHERE FALSE
