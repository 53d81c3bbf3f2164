-- The objects that unmatched events name: one row per event and object, so that a link finds the events that wait for it.
-- Rows are deleted when their event is matched.
CREATE TABLE IF NOT EXISTS unmatched_objects (
  provider  VARBINARY(64)  NOT NULL,
  object_id VARBINARY(255) NOT NULL,
  event_id  BIGINT         NOT NULL,
  PRIMARY KEY (provider, object_id, event_id),
  KEY unmatched_objects_event (event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
