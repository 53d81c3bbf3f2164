-- The identity of a key in one column: SHA-256 over scope, operation and key, with a zero byte between them. Instant on both
-- engines. V15 to V17 fill it and make it the primary key.
ALTER TABLE idempotency_keys ADD COLUMN id BINARY(32) NULL, ALGORITHM = INSTANT
