-- From here on the server computes the identity of every row that a program of an earlier version inserts. Changes no row.
ALTER TABLE idempotency_keys
  ALTER COLUMN id SET DEFAULT (UNHEX(SHA2(CONCAT(scope, 0x00, operation, 0x00, idempotency_key), 256))),
  ALGORITHM = INSTANT
