-- clients/insert: a new client, unless one has its name; a name is never given again
INSERT INTO clients (name, role, token_digest)
VALUES (:name, :role, :token_digest)
ON DUPLICATE KEY UPDATE name = VALUES(name)
