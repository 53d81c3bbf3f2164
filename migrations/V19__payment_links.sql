-- Which order or hold a provider's object belongs to: a session, an intent or a charge. One row per object, written when
-- an event names both. `charge_name` is the name of that object's payment in the table `charges`.
CREATE TABLE IF NOT EXISTS payment_links (
  provider    VARBINARY(64)  NOT NULL,
  object_id   VARBINARY(255) NOT NULL,
  charge_name VARBINARY(255) NOT NULL,
  order_id    BINARY(16)     NULL,
  hold_id     BINARY(16)     NULL,
  created_at  DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (provider, object_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
