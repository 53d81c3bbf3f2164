-- endpoints/change: what an operator sets
UPDATE endpoints
SET disabled_reason = IF(:enabled, NULL, COALESCE(disabled_reason, 'operator')),
  disabled_at = IF(:enabled, NULL, COALESCE(disabled_at, NOW(6))),
  url = :url, types = :types
WHERE id = :endpoint_id AND deleted_at IS NULL
