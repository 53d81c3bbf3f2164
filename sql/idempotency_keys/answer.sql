-- idempotency_keys/answer: the status that the first answer told, so that every replay tells the same
UPDATE idempotency_keys
SET answered_status = :status
WHERE scope = :scope AND operation = :operation AND idempotency_key = :idempotency_key AND answered_status IS NULL
