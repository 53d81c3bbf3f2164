-- Money that was taken, one row per charge of a provider, by its name (`txn_id`, or a substitute for a missing one), so that
-- the same charge reported under two keys counts once. The first success that names it owns it. Amounts are in minor units
-- of `currency`; NULL when the amount is unknown.
CREATE TABLE IF NOT EXISTS charges (
  provider       VARBINARY(64)  NOT NULL,
  name           VARBINARY(301) NOT NULL,
  event_id       BIGINT         NOT NULL,
  order_id       BINARY(16)     NULL,
  hold_id        BINARY(16)     NULL,
  status         ENUM('paid', 'refund_due', 'refunded') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount_minor   BIGINT         NULL,
  currency       CHAR(3)        CHARACTER SET ascii COLLATE ascii_bin NULL,
  refunded_minor BIGINT         NOT NULL DEFAULT 0,
  restock        BOOLEAN        NOT NULL DEFAULT FALSE,
  PRIMARY KEY (provider, name),
  UNIQUE KEY charges_event (event_id),
  KEY charges_order (order_id),
  KEY charges_hold (hold_id),
  CONSTRAINT charges_refunded CHECK (refunded_minor >= 0 AND (amount_minor IS NULL OR refunded_minor <= amount_minor))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
