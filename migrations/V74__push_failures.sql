-- Events behind which the cursor of an endpoint has moved although they were not delivered: `waiting` to be tried again at `next_at`, up
-- to 100 of an endpoint, or `failed` after all attempts. An event waits too while an earlier one of its order does. `row_position` is
-- that of its row in `feed_batches`.
CREATE TABLE IF NOT EXISTS push_failures (
  endpoint_id  BIGINT      NOT NULL,
  position     BIGINT      NOT NULL,
  row_position BIGINT      NOT NULL,
  order_id     BINARY(16)  NULL,
  state        VARCHAR(8)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempts     SMALLINT    NOT NULL,
  happened_at  DATETIME(6) NOT NULL,
  next_at      DATETIME(6) NOT NULL,
  PRIMARY KEY (endpoint_id, position),
  KEY push_failures_state (endpoint_id, state, position)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
