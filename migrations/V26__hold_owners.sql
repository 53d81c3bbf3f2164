-- Who owns a hold, and what the caller wrote on it. Holds that an anonymous caller took without a buyer, a reference or metadata
-- have no row. `client_id` is 0 for an anonymous caller. The rows never change.
CREATE TABLE IF NOT EXISTS hold_owners (
  hold_id   BINARY(16)      NOT NULL,
  client_id BIGINT          NOT NULL,
  buyer     VARBINARY(128)  NULL,
  reference VARBINARY(128)  NULL,
  metadata  VARBINARY(2048) NULL,
  PRIMARY KEY (hold_id),
  KEY hold_owners_client (client_id),
  KEY hold_owners_buyer (client_id, buyer),
  KEY hold_owners_reference (client_id, reference)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
