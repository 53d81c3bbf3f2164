-- endpoints/disable: no further push, until an operator enables it
UPDATE endpoints
SET disabled_at = NOW(6), disabled_reason = :reason
WHERE id = :endpoint_id AND disabled_at IS NULL
