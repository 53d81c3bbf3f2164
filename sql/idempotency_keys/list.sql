-- idempotency_keys/list: what was made under these keys
SELECT id, fingerprint, resource_id, answered_status
FROM idempotency_keys
WHERE id IN ({ids})
