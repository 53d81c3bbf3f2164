-- push_failures/make_due: what waits to be pushed again is due now
UPDATE push_failures
SET next_at = NOW(6)
WHERE endpoint_id = :endpoint_id AND state = 'waiting'
