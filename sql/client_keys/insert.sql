-- client_keys/insert: a key of a client whose row this transaction has locked, if the client has less than four; in hex, since a
-- derived table would take its bytes for text
INSERT INTO client_keys (client_id, kid, public_key)
SELECT new.client_id, new.kid, UNHEX(new.public_key)
FROM (SELECT :client_id AS client_id, :kid AS kid, :public_key AS public_key) AS new
WHERE (SELECT COUNT(kid) FROM client_keys WHERE client_id = :client_id) < :most
