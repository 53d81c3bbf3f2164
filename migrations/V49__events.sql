-- Events. Their times do not change: ticket types have copies of the sale's window. `currency` is that of all ticket types, set by
-- the first one; `ticket_types` and `seats` are how many there are, which guards their limits.
CREATE TABLE IF NOT EXISTS events (
  id             BIGINT         NOT NULL AUTO_INCREMENT,
  organizer_id   BIGINT         NOT NULL,
  name           VARCHAR(255)   CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
  venue          VARCHAR(255)   CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
  starts_at      DATETIME(6)    NOT NULL,
  sale_starts_at DATETIME(6)    NULL,
  sale_ends_at   DATETIME(6)    NULL,
  cancelled_at   DATETIME(6)    NULL,
  currency       CHAR(3)        CHARACTER SET ascii COLLATE ascii_bin NULL,
  ticket_types   INT            NOT NULL DEFAULT 0,
  seats          INT            NOT NULL DEFAULT 0,
  change_id      BINARY(16)     NOT NULL,
  created_by     VARBINARY(255) NOT NULL,
  created_at     DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY events_change (change_id),
  KEY events_by_start (starts_at, id),
  KEY events_of_organizer (organizer_id, starts_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
