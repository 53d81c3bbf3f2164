-- idempotency_keys/answer: the status that the first answer tells, so that every replay tells the same. It may change until
-- the first replay is counted: a replay reads it after that
UPDATE idempotency_keys
SET answered_status = '{status}'
WHERE id IN ({ids}) AND (answered_status IS NULL OR replays = 0)
