-- endpoints/mark_deleted: ends an endpoint for good, with its secrets; its row stays for its trail
UPDATE endpoints
SET deleted_at = NOW(6), disabled_at = COALESCE(disabled_at, NOW(6)), disabled_reason = 'deleted', secret = NULL, older_secret = NULL,
  changes = changes + 1
WHERE id = :endpoint_id AND deleted_at IS NULL
