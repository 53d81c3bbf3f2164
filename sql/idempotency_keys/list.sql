-- idempotency_keys/list: what was made under these keys of one scope and operation; as one tuple of three columns MariaDB
-- would use the first of them only, and read all keys of the scope
SELECT idempotency_key, fingerprint, resource_id, answered_status
FROM idempotency_keys
WHERE scope = {scope} AND operation = {operation} AND idempotency_key IN ({keys})
