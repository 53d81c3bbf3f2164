-- idempotency_keys/list: what was made under these keys
SELECT idempotency_key, fingerprint, resource_id, answered_status
FROM idempotency_keys
WHERE (scope, operation, idempotency_key) IN ({rows})
