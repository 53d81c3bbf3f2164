-- idempotency_keys/list: the results of the first requests with these keys
SELECT id, fingerprint, resource_id, answered_status
FROM idempotency_keys
WHERE id IN ({ids})
