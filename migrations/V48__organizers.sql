-- Who holds events. Rows of one request have its `change_id`: a repeated attempt finds by it what a COMMIT without an answer did.
CREATE TABLE IF NOT EXISTS organizers (
  id         BIGINT         NOT NULL AUTO_INCREMENT,
  name       VARCHAR(255)   CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
  change_id  BINARY(16)     NOT NULL,
  created_by VARBINARY(255) NOT NULL,
  created_at DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY organizers_change (change_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
