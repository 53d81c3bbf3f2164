-- The charge that paid an order is in `charges`.
ALTER TABLE orders
  DROP COLUMN charge_provider,
  DROP COLUMN charge_txn_id
