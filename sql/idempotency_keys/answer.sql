-- idempotency_keys/answer: the status in the first response, so that every replay has the same. It may change until the
-- first replay is counted: a replay reads it after that
UPDATE idempotency_keys
SET answered_status = {status}
WHERE id IN ({ids}) AND (answered_status IS NULL OR replays = 0)
