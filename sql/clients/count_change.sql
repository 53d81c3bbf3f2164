-- clients/count_change: begins a change of a live client, whose row is locked until the COMMIT
UPDATE clients
SET changes = changes + 1
WHERE id = :client_id AND revoked_at IS NULL
