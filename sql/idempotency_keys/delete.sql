-- idempotency_keys/delete: old keys, or a row that was written only to make the commit wait for the disk
DELETE FROM idempotency_keys
WHERE id IN ({ids})
