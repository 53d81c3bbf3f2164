-- endpoints/note_attempt: how the last attempt to push to an endpoint ended
UPDATE endpoints
SET attempted_at = NOW(6), attempt_outcome = :outcome, attempt_status = :status, attempt_answer = :answer,
  delivered_at = IF(:is_delivered, NOW(6), delivered_at)
WHERE id = :endpoint_id
