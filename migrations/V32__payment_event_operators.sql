-- The operator's name for each action on a payment event: `trail_id` is its row in the trail, or 0 for the dismissal. A separate
-- table leaves the trail and the quarantines as they are, which older versions write too.
CREATE TABLE IF NOT EXISTS payment_event_operators (
  event_id BIGINT      NOT NULL,
  trail_id BIGINT      NOT NULL,
  operator VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (event_id, trail_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
