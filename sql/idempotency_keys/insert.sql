-- idempotency_keys/insert: the first request under a key waits for nobody, its copies wait here until it is decided
INSERT INTO idempotency_keys (scope, operation, idempotency_key, fingerprint, resource_id)
VALUES (:scope, :operation, :idempotency_key, :fingerprint, :resource_id)
ON DUPLICATE KEY UPDATE replays = replays + 1
