-- Why an event is quarantined: the check that failed and both values. `settled_at` is the event's own at that time, so that
-- a row from before a replay is not shown with a later outcome. An operator's dismissal is stored beside it. A separate
-- table leaves the inbox as it is: payments that pass write nothing here, and older versions do not read it.
CREATE TABLE IF NOT EXISTS payment_event_quarantines (
  event_id     BIGINT          NOT NULL,
  settled_at   DATETIME(6)     NULL,
  reason       VARCHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NULL,
  expected     VARBINARY(255)  NULL,
  got          VARBINARY(255)  NULL,
  dismissed_at DATETIME(6)     NULL,
  dismissal    VARBINARY(1024) NULL,
  PRIMARY KEY (event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
