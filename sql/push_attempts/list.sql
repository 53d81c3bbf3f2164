-- push_attempts/list: one page of the attempts of an endpoint, the newest first
SELECT number, position, event_id, attempt, outcome, status, answer, duration_ms, noted_at
FROM push_attempts
WHERE endpoint_id = :endpoint_id AND number < :before
ORDER BY number DESC
LIMIT :limit
