-- The public halves of the keys with which a storefront signs tokens for its buyers: 32 bytes of Ed25519, by the storefront's own
-- name for the key. The database holds no secret.
CREATE TABLE IF NOT EXISTS client_keys (
  client_id  BIGINT      NOT NULL,
  kid        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  public_key BINARY(32)  NOT NULL,
  added_at   DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (client_id, kid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
