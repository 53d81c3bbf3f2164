-- What was changed about endpoints, and by what name; `detail` is JSON with the new values. `change_id` is made before the transaction:
-- after a COMMIT without an answer it tells whether the change was made. The trail of an endpoint that is deleted stays.
CREATE TABLE IF NOT EXISTS endpoint_trail (
  id          BIGINT      NOT NULL AUTO_INCREMENT,
  change_id   BINARY(16)  NOT NULL,
  endpoint_id BIGINT      NOT NULL,
  action      VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  detail      TEXT        CHARACTER SET ascii COLLATE ascii_bin NULL,
  operator    VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at          DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY endpoint_trail_change (change_id),
  KEY endpoint_trail_endpoint (endpoint_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
