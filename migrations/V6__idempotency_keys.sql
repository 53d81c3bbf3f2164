-- Requests with an Idempotency-Key, and the resource that each has created. Only successes are kept.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  scope           VARBINARY(64)  NOT NULL,
  operation       ENUM('hold', 'order') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  idempotency_key VARBINARY(255) NOT NULL,
  fingerprint     BINARY(32)     NOT NULL,
  resource_id     BINARY(16)     NOT NULL,
  answered_status VARCHAR(16)    CHARACTER SET ascii COLLATE ascii_bin NULL,
  replays         INT            NOT NULL DEFAULT 0,
  created_at      DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (scope, operation, idempotency_key),
  KEY idempotency_keys_age (created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
