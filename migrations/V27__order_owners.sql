-- Who owns an order, and what the caller wrote on it: as `hold_owners`, whose buyer it repeats. `created_at` is close to the
-- order's own, and orders the lists of one client.
CREATE TABLE IF NOT EXISTS order_owners (
  order_id   BINARY(16)      NOT NULL,
  client_id  BIGINT          NOT NULL,
  buyer      VARBINARY(128)  NULL,
  reference  VARBINARY(128)  NULL,
  metadata   VARBINARY(2048) NULL,
  created_at DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (order_id),
  KEY order_owners_client (client_id, created_at),
  KEY order_owners_buyer (client_id, buyer, created_at),
  KEY order_owners_reference (client_id, reference, created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
