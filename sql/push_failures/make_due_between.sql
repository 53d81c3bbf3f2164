-- push_failures/make_due_between: what waits to be pushed again of these positions is due now
UPDATE push_failures
SET next_at = NOW(6)
WHERE endpoint_id = :endpoint_id AND state = 'waiting' AND position BETWEEN :first AND :last
