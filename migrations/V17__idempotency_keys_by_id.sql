-- A key is found by one column. The table is rebuilt while requests go on; a server that cannot do that refuses the
-- statement. It keeps what requests change meanwhile in a log of innodb_online_alter_log_max_size (128 MB); when that is
-- full, the statement fails, nothing has changed, and it can run again with a larger one.
-- idempotency_keys_name and the default of id serve programs of earlier versions: the next version can drop both.
ALTER TABLE idempotency_keys
  MODIFY COLUMN id BINARY(32) NOT NULL
    DEFAULT (UNHEX(SHA2(CONCAT(scope, 0x00, operation, 0x00, idempotency_key), 256))),
  DROP PRIMARY KEY,
  ADD PRIMARY KEY (id),
  ADD KEY idempotency_keys_name (scope, operation, idempotency_key),
  ALGORITHM = INPLACE, LOCK = NONE
