-- Money of charges that paid orders of cancelled events and must be given back, one row per charge and event. The row is settled once
-- `until_minor` of the charge was given back: what was given back or due before it, and `amount_minor`. Amounts are in minor units of
-- the charge; NULL when its amount is unknown: then once all of it was. Or an operator gave it back by another way (`settled_by`).
CREATE TABLE IF NOT EXISTS due_refunds (
  charge_event_id BIGINT         NOT NULL,
  event_id        BIGINT         NOT NULL,
  order_id        BINARY(16)     NOT NULL,
  amount_minor    BIGINT         NULL,
  until_minor     BIGINT         NULL,
  currency        CHAR(3)        CHARACTER SET ascii COLLATE ascii_bin NULL,
  due_at          DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  settled_at      DATETIME(6)    NULL,
  settled_by      VARBINARY(255) NULL,
  PRIMARY KEY (charge_event_id, event_id),
  KEY due_refunds_open (settled_at, charge_event_id),
  KEY due_refunds_of_event (event_id, settled_at, charge_event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
