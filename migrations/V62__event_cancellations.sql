-- Events that were cancelled: who cancelled each, and how far a worker has ended what was sold for it. First all active holds and
-- unpaid orders end (`holds`). Then one walk over its ticket types, and over the holds of each by id, writes the due refunds
-- (`refunds`), up to the product and hold that stand here. `amount_minor` is what was written so far in the event's currency.
CREATE TABLE IF NOT EXISTS event_cancellations (
  event_id         BIGINT         NOT NULL,
  cancelled_by     VARBINARY(255) NOT NULL,
  cancelled_at     DATETIME(6)    NOT NULL,
  stage            ENUM('holds', 'refunds', 'finished') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'holds',
  product_id       BIGINT         NOT NULL DEFAULT 0,
  hold_id          BINARY(16)     NOT NULL DEFAULT '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0',
  steps            BIGINT         NOT NULL DEFAULT 0,
  holds_ended      BIGINT         NOT NULL DEFAULT 0,
  orders_cancelled BIGINT         NOT NULL DEFAULT 0,
  refunds_due      BIGINT         NOT NULL DEFAULT 0,
  amount_minor     BIGINT         NOT NULL DEFAULT 0,
  finished_at      DATETIME(6)    NULL,
  PRIMARY KEY (event_id),
  KEY event_cancellations_open (finished_at, event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
