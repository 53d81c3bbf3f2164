-- tickets/replace: a ticket does not admit any more, since its unit gets another code in the same transaction
UPDATE tickets FORCE INDEX (tickets_code)
SET status = 'void', voided_at = NOW(6)
WHERE code = :code AND status = 'valid'
