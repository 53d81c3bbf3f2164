-- idempotency_keys/answer: the status that the first answer told, so that every replay tells the same
UPDATE idempotency_keys
SET answered_status = '{status}'
WHERE (scope, operation, idempotency_key) IN ({rows}) AND answered_status IS NULL
