-- idempotency_keys/delete: old keys, or a row that was only written so that the commit waits for the disk
DELETE FROM idempotency_keys
WHERE id IN ({ids})
