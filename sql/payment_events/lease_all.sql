-- payment_events/lease_all: the same as payment_events/lease for a batch of events without an attempt; another worker may
-- have leased some of them
UPDATE payment_events FORCE INDEX (PRIMARY)
SET attempts = 1, due_at = @d
WHERE id IN ({ids}) AND status = 'received' AND attempts = 0 AND due_at <= NOW(6)
