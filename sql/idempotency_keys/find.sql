-- idempotency_keys/find: what was made under a key
SELECT fingerprint, resource_id, answered_status
FROM idempotency_keys
WHERE scope = :scope AND operation = :operation AND idempotency_key = :idempotency_key
