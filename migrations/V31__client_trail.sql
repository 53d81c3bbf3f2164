-- What operators changed about clients, and by what name. `change_id` is made before the transaction: after a COMMIT without an
-- answer it tells whether the change was made.
CREATE TABLE IF NOT EXISTS client_trail (
  id        BIGINT      NOT NULL AUTO_INCREMENT,
  change_id BINARY(16)  NOT NULL,
  client_id BIGINT      NOT NULL,
  action    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  detail    VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  operator  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at        DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY client_trail_change (change_id),
  KEY client_trail_client (client_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
