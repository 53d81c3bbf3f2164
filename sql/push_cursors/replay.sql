-- push_cursors/replay: begins a replay, unless one is under way
UPDATE push_cursors
SET replay_position = :position, replay_until = :until, replay_from = :position, replay_is_open = :is_open
WHERE endpoint_id = :endpoint_id AND replay_position >= replay_until
