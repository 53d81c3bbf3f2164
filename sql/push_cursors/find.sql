-- push_cursors/find: how far an endpoint has the feed
SELECT push_cursors.epoch, push_cursors.position, replay_position, replay_until, replay_from, replay_is_open, rounds, attempts,
  COALESCE(holder = :holder, FALSE) AS is_held, NOW(6) AS now,
  COALESCE(failing_since < NOW(6) - INTERVAL :seconds SECOND, FALSE) AS is_failing
FROM push_cursors
WHERE endpoint_id = :endpoint_id
