-- payment_events/lease_all: as payment_events/lease, for a batch of events without an attempt; another worker may have some.
-- When they are due again also identifies the batch
UPDATE payment_events FORCE INDEX (PRIMARY)
SET attempts = 1, due_at = {due_at}
WHERE id IN ({ids}) AND status = 'received' AND attempts = 0 AND due_at <= NOW(6)
