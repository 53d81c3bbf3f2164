-- The audit trail: one row per transition of an order, written in its transaction. The data of a payment event is copied,
-- so that the trail explains an order without the inbox.
CREATE TABLE IF NOT EXISTS order_events (
  id                 BIGINT         NOT NULL AUTO_INCREMENT,
  order_id           BINARY(16)     NOT NULL,
  from_status        ENUM('pending', 'paid', 'cancelled', 'refunded') CHARACTER SET ascii COLLATE ascii_bin NULL,
  to_status          ENUM('pending', 'paid', 'cancelled', 'refunded') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason             VARCHAR(32)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at                 DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  payment_event_id   BIGINT         NULL,
  txn_id             VARBINARY(255) NULL,
  amount             VARBINARY(64)  NULL,
  currency           VARBINARY(8)   NULL,
  provider_timestamp VARBINARY(64)  NULL,
  source             VARBINARY(255) NULL,
  correlation_id     VARBINARY(255) NULL,
  PRIMARY KEY (id),
  KEY order_events_order (order_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
