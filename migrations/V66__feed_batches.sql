-- What the feed tells: a row has events of one transaction for one audience, as JSON, written as the last statement before its COMMIT.
-- `client_id` is the client that hears of them; 0: an anonymous caller's, -1: every client, -2: operators alone. A worker gives
-- committed rows their place in the feed: `position` is that of the last of its `items`, whose positions follow each other.
-- `transitions` of its events are those of orders, each of which is in the order's trail, too. `batch` begins the names of its events. The indexes have all that decides which rows a page needs.
CREATE TABLE IF NOT EXISTS feed_batches (
  id          BIGINT      NOT NULL AUTO_INCREMENT,
  client_id   BIGINT      NOT NULL,
  position    BIGINT      NULL,
  items       SMALLINT    NOT NULL,
  transitions SMALLINT    NOT NULL,
  created_at  DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  batch       BINARY(16)  NOT NULL,
  events      MEDIUMBLOB  NOT NULL,
  PRIMARY KEY (id),
  KEY feed_batches_position (position, id, items),
  KEY feed_batches_client (client_id, position, items)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
