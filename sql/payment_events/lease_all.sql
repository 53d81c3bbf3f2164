-- payment_events/lease_all: the same for a batch of events that nothing has tried yet; another worker may have some of them
UPDATE payment_events FORCE INDEX (PRIMARY)
SET attempts = 1, due_at = @d
WHERE id IN ({ids}) AND status = 'received' AND attempts = 0 AND due_at <= NOW(6)
