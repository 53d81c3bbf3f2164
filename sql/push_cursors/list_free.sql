-- push_cursors/list_free: endpoints to which events are pushed, and to which no other instance has the lease
SELECT endpoints.id, endpoints.changes, push_cursors.replay_position < push_cursors.replay_until AS is_replaying
FROM endpoints
JOIN push_cursors ON push_cursors.endpoint_id = endpoints.id
WHERE endpoints.disabled_at IS NULL AND (push_cursors.leased_until <= NOW(6) OR push_cursors.holder = :holder)
ORDER BY endpoints.id
LIMIT :limit
