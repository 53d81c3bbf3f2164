-- endpoint_trail/list: one page of an endpoint's trail, the newest change first
SELECT id, action, detail, operator, at
FROM endpoint_trail
WHERE endpoint_id = :endpoint_id AND id < :before
ORDER BY id DESC
LIMIT :limit
