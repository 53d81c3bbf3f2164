-- push_cursors/bring_back: endpoints get the events that have their positions behind this one from now on. A round that is under way
-- counts no more
UPDATE push_cursors
SET position = {position}, replay_position = LEAST(replay_position, {position}), replay_until = LEAST(replay_until, {position}),
  rounds = rounds + 1
WHERE endpoint_id IN ({ids}) AND position > {position}
