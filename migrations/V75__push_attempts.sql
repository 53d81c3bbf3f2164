-- The latest attempts to push to an endpoint, numbered one after another. `attempt` counts those of the same event.
CREATE TABLE IF NOT EXISTS push_attempts (
  endpoint_id BIGINT          NOT NULL,
  number      BIGINT          NOT NULL,
  position    BIGINT          NOT NULL,
  event_id    VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempt     SMALLINT        NOT NULL,
  outcome     VARCHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status      SMALLINT        NULL,
  answer      VARBINARY(1024) NOT NULL,
  duration_ms BIGINT          NOT NULL,
  noted_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (endpoint_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
