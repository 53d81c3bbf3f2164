-- Addresses of shops to which events are pushed, each with up to two live secrets, which are stored as they are: a signature needs
-- them. `types` lists the wanted types, separated by commas; NULL: all. The types and words are no ENUM: an instance ignores those that only a newer
-- version knows. An endpoint is live while `disabled_at` is NULL; one that is deleted is disabled, and has lost its secrets. `changes`
-- counts the changes by operators: raising it locks the row, so that they happen one after another. `attempted_at` and `attempt_…`
-- tell the last attempt, `delivered_at` the last one that the endpoint accepted.
CREATE TABLE IF NOT EXISTS endpoints (
  id              BIGINT          NOT NULL AUTO_INCREMENT,
  url             VARCHAR(2000)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  types           VARCHAR(1000)   CHARACTER SET ascii COLLATE ascii_bin NULL,
  client_id       BIGINT          NULL,
  secret          BINARY(32)      NULL,
  older_secret    BINARY(32)      NULL,
  changes         BIGINT          NOT NULL DEFAULT 0,
  created_at      DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  disabled_at     DATETIME(6)     NULL,
  disabled_reason VARCHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NULL,
  deleted_at      DATETIME(6)     NULL,
  delivered_at    DATETIME(6)     NULL,
  attempted_at    DATETIME(6)     NULL,
  attempt_outcome VARCHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NULL,
  attempt_status  SMALLINT        NULL,
  attempt_answer  VARBINARY(1024) NULL,
  PRIMARY KEY (id),
  KEY endpoints_live (disabled_at, id),
  KEY endpoints_client (client_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
