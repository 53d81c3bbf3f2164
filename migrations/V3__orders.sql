-- One order per hold: the unique key decides between two requests for the same hold. A paid order stores the charge that
-- paid it.
CREATE TABLE IF NOT EXISTS orders (
  id              BINARY(16)     NOT NULL,
  hold_id         BINARY(16)     NOT NULL,
  status          ENUM('pending', 'paid', 'cancelled', 'refunded') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'pending',
  total_minor     BIGINT         NOT NULL,
  currency        CHAR(3)        CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at      DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  pay_by          DATETIME(6)    NOT NULL,
  charge_provider VARBINARY(64)  NULL,
  charge_txn_id   VARBINARY(255) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY orders_hold (hold_id),
  KEY orders_due (status, pay_by)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
