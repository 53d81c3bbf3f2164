-- endpoints/count_change: begins a change of an endpoint, whose row is locked until the COMMIT
UPDATE endpoints
SET changes = changes + 1
WHERE id = :endpoint_id AND deleted_at IS NULL
