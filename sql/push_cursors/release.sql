-- push_cursors/release: gives a lease back
UPDATE push_cursors
SET holder = NULL, leased_until = NOW(6)
WHERE endpoint_id = :endpoint_id AND holder = :holder
