-- idempotency_keys/insert: the first request under a key waits for no other, its copies wait here until it is decided; a
-- repetition is counted, so that the answer to it is durable too
INSERT INTO idempotency_keys (id, scope, operation, idempotency_key, fingerprint, resource_id, answered_status)
VALUES {rows}
ON DUPLICATE KEY UPDATE replays = replays + 1
