-- The seats of ticket types, one row each: free while `hold_id` is NULL. `n` is the order in which they were made; `row_n`, `place`
-- and `row_rank` tell which seats are beside each other, and how good their row is (1 is the best). `label` is
-- `section-row-number`. The index finds the seats of a hold, and, for NULL, the free seats of a type, the best rows first, without
-- reading the others.
CREATE TABLE IF NOT EXISTS seats (
  product_id BIGINT         NOT NULL,
  n          INT            NOT NULL,
  section    VARBINARY(80)  NOT NULL,
  row_name   VARBINARY(80)  NOT NULL,
  label      VARBINARY(248) NOT NULL,
  row_n      INT            NOT NULL,
  place      INT            NOT NULL,
  row_rank   INT            NOT NULL,
  hold_id    BINARY(16)     NULL,
  sold       BOOLEAN        NOT NULL DEFAULT FALSE,
  PRIMARY KEY (product_id, n),
  UNIQUE KEY seats_label (product_id, label),
  KEY seats_of_hold (hold_id, product_id, row_rank, row_n, place)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci
