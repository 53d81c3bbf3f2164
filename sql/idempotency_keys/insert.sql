-- idempotency_keys/insert: the first request with a key does not wait, its copies wait here until it has committed or rolled
-- back; a repetition is counted, so that the response to it is durable too
INSERT INTO idempotency_keys (id, scope, operation, idempotency_key, fingerprint, resource_id, answered_status)
VALUES {rows}
ON DUPLICATE KEY UPDATE replays = replays + 1
