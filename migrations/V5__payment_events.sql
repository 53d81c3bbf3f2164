-- The inbox: one row per event, however often it was delivered. The key is unique per provider; the fingerprint
-- distinguishes a copy from another event with the same key; the body is stored as received.
CREATE TABLE IF NOT EXISTS payment_events (
  id                 BIGINT         NOT NULL AUTO_INCREMENT,
  provider           VARBINARY(64)  NOT NULL,
  idempotency_key    VARBINARY(300) NOT NULL,
  fingerprint        BINARY(32)     NOT NULL,
  status             ENUM('received', 'parked', 'applied', 'ignored', 'quarantined', 'refund_due', 'refunded', 'dead')
                     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'received',
  meaning            ENUM('succeeded', 'failed', 'refunded') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_id           BINARY(16)     NULL,
  hold_id            BINARY(16)     NULL,
  amount             VARBINARY(64)  NULL,
  currency           VARBINARY(8)   NULL,
  txn_id             VARBINARY(255) NULL,
  restock            BOOLEAN        NOT NULL DEFAULT FALSE,
  provider_timestamp VARBINARY(64)  NULL,
  source             VARBINARY(255) NULL,
  correlation_id     VARBINARY(255) NULL,
  body               MEDIUMBLOB     NOT NULL,
  deliveries         INT            NOT NULL DEFAULT 1,
  attempts           INT            NOT NULL DEFAULT 0,
  received_at        DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  settled_at         DATETIME(6)    NULL,
  PRIMARY KEY (id),
  UNIQUE KEY payment_events_key (provider, idempotency_key),
  KEY payment_events_order (order_id, status),
  KEY payment_events_hold (hold_id, status),
  KEY payment_events_status (status, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
