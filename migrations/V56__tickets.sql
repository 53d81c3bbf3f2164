-- Tickets: one row for each unit of a ticket type whose order was paid, and one more for each time that it got another code. `unit`
-- counts the units of a product in its order from 1, `issue` the codes of a unit: the row of an issue is inserted in the transaction
-- that makes the one before it void, so a unit never has two tickets that are not void. `code` is random. A state changes only towards
-- `void`, the last one, so that a walk by the index of an event misses no ticket. `issued_by` is the operator that gave another code,
-- `issue_key` and `redeem_key` tell a request from its repetition. The payment finds these units by `holds.seats`, which is empty for
-- those without seats, and by `orders.seats`, which is FALSE for an order that has tickets and no seats. An older version writes
-- neither these values nor tickets: replace all instances before the first ticket type is sold.
CREATE TABLE IF NOT EXISTS tickets (
  order_id    BINARY(16)     NOT NULL,
  product_id  BIGINT         NOT NULL,
  unit        INT            NOT NULL,
  issue       INT            NOT NULL DEFAULT 1,
  event_id    BIGINT         NOT NULL,
  code        BINARY(16)     NOT NULL,
  seat        VARBINARY(248) NULL,
  status      ENUM('valid', 'redeemed', 'void') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'valid',
  issued_at   DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  issued_by   VARBINARY(64)  NULL,
  issue_key   BINARY(32)     NULL,
  redeemed_at DATETIME(6)    NULL,
  redeemed_by VARBINARY(64)  NULL,
  redeem_key  BINARY(32)     NULL,
  gate        VARBINARY(256) NULL,
  voided_at   DATETIME(6)    NULL,
  PRIMARY KEY (order_id, product_id, unit, issue),
  UNIQUE KEY tickets_code (code),
  KEY tickets_of_event (event_id, status)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
