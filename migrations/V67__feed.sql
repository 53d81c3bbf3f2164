-- The counter of the feed, one row: the last position that was given, and the last one that is on disk (`safe`), up to which it is
-- read. `epoch` begins anew when positions may not mean the same any more: after a failover or a restore.
CREATE TABLE IF NOT EXISTS feed (
  id       TINYINT NOT NULL,
  epoch    BIGINT  NOT NULL,
  position BIGINT  NOT NULL,
  safe     BIGINT  NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
