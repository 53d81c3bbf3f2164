-- push_cursors/move_on: notes a round of pushes, if the lease was not lost and no round was noted since it began. An endpoint
-- that had no attempt for a day has not failed all the time
UPDATE push_cursors
SET epoch = :epoch, position = :position, replay_position = IF(:is_replay, :replay_position, replay_position),
  rounds = rounds + 1, attempts = attempts + :attempts,
  failing_since = IF(:is_delivered, NULL, IF(NOT :is_failed, failing_since,
    IF(failing_since IS NULL OR failed_at < NOW(6) - INTERVAL 1 DAY, NOW(6), failing_since))),
  failed_at = IF(:is_failed, NOW(6), failed_at)
WHERE endpoint_id = :endpoint_id AND holder = :holder AND rounds = :rounds
