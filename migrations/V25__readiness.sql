-- Rows that readiness checks write, to see whether the database accepts writes.
CREATE TABLE IF NOT EXISTS readiness (
  id         TINYINT     NOT NULL,
  checked_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
