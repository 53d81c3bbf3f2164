-- The trail of a payment event after it was received, without its outcome: failed attempts, with their errors, and all
-- actions of operators.
CREATE TABLE IF NOT EXISTS payment_event_trail (
  id       BIGINT          NOT NULL AUTO_INCREMENT,
  event_id BIGINT          NOT NULL,
  action   ENUM('attempt_failed', 'given_up', 'replayed', 'refund_done') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempt  INT             NOT NULL,
  detail   VARBINARY(1024) NOT NULL,
  at       DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  KEY payment_event_trail_event (event_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
