-- How far each endpoint has the feed: all events up to `position` of `epoch` were delivered, are not wanted, or have a row in
-- `push_failures`. `holder` is the instance that pushes, until `leased_until`; `rounds` counts what it noted, and guards the next note.
-- `attempts` numbers the rows of `push_attempts`. A replay is under way while `replay_position` is less than `replay_until`; it
-- began behind `replay_from`, and `replay_is_open` says that its end was not given.
-- `failing_since` is the first failed attempt after the last success, or after a day without attempts; `failed_at` is the last one. A table beside `endpoints`: rounds of pushes change these rows.
CREATE TABLE IF NOT EXISTS push_cursors (
  endpoint_id     BIGINT      NOT NULL,
  epoch           BIGINT      NOT NULL,
  position        BIGINT      NOT NULL,
  replay_position BIGINT      NOT NULL DEFAULT 0,
  replay_until    BIGINT      NOT NULL DEFAULT 0,
  replay_from     BIGINT      NOT NULL DEFAULT 0,
  replay_is_open  BOOLEAN     NOT NULL DEFAULT FALSE,
  holder          BINARY(16)  NULL,
  leased_until    DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  rounds          BIGINT      NOT NULL DEFAULT 0,
  attempts        BIGINT      NOT NULL DEFAULT 0,
  failing_since   DATETIME(6) NULL,
  failed_at       DATETIME(6) NULL,
  PRIMARY KEY (endpoint_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
