-- charges/refund: guarded by the amount that was given back before, so that no part counts twice, and by the due
-- refunds that it may settle
UPDATE charges
SET refunded_minor = :refunded_minor, status = :status, restock = :restock
WHERE provider = :provider AND name = :name AND refunded_minor = :refunded_before AND status = :status_before
  AND due_refunds = :due_refunds
