-- idempotency_keys/insert: the first request under a key waits for nobody, its copies wait here until it is decided; a
-- repetition is counted, so that the answer to it is durable too
INSERT INTO idempotency_keys (scope, operation, idempotency_key, fingerprint, resource_id)
VALUES {rows}
ON DUPLICATE KEY UPDATE replays = replays + 1
