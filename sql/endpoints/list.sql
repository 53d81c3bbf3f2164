-- endpoints/list: one page of endpoints, by id
SELECT id, url, types, client_id, secret IS NOT NULL AS has_secret, older_secret IS NOT NULL AS has_older, created_at, disabled_at,
  disabled_reason, deleted_at, delivered_at, attempted_at, attempt_outcome, attempt_status, attempt_answer
FROM endpoints
WHERE id > :after
ORDER BY id
LIMIT :limit
