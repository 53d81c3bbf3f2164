-- endpoints/list: one page of endpoints, by id
SELECT endpoints.id, url, types, client_id, secret IS NOT NULL AS has_secret, older_secret IS NOT NULL AS has_older, created_at, disabled_at,
  disabled_reason, deleted_at, delivered_at, attempted_at, attempt_outcome, attempt_status, attempt_answer,
  push_cursors.position AS cursor_position, replay_from, replay_position, replay_until
FROM endpoints
LEFT JOIN push_cursors ON push_cursors.endpoint_id = endpoints.id
WHERE endpoints.id > :after
ORDER BY endpoints.id
LIMIT :limit
