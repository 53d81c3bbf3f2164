-- Programs that call the service, each with a name, a role and up to two live tokens, of which only SHA-256 digests are stored. The
-- role is no ENUM: an instance ignores a client whose role only a newer version knows. `changes` counts the changes by operators:
-- raising it locks the client's row, so that they happen one after another.
CREATE TABLE IF NOT EXISTS clients (
  id           BIGINT      NOT NULL AUTO_INCREMENT,
  name         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  role         VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  token_digest BINARY(32)  NOT NULL,
  older_digest BINARY(32)  NULL,
  changes      BIGINT      NOT NULL DEFAULT 0,
  created_at   DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  revoked_at   DATETIME(6) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY clients_name (name),
  KEY clients_live (revoked_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
