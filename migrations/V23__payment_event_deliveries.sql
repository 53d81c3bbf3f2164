-- The answer to each delivery of an event: the first in slot 0, copies in the slots 1 to 99 in turn, so that an event has
-- 100 rows at most. A first success that pays its order has no row; its answer follows from the event. `txn_id` is set for
-- first deliveries only: it finds the events that name a charge, without a further index on the inbox.
CREATE TABLE IF NOT EXISTS payment_event_deliveries (
  event_id BIGINT         NOT NULL,
  slot     TINYINT        NOT NULL,
  delivery INT            NOT NULL,
  answer   VARCHAR(16)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  txn_id   VARBINARY(255) NULL,
  at       DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (event_id, slot),
  KEY payment_event_deliveries_charge (txn_id, event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
