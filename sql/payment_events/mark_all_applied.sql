-- payment_events/mark_all_applied: a batch of leased successes, with their orders in the same packet; an event that was
-- settled elsewhere adds no affected row, so the batch is rolled back
-- reads up to 6 rows for each on MariaDB: no more rows, but pages: the state is a part of four indexes, each with an entry to
-- remove and one to insert
UPDATE payment_events FORCE INDEX (PRIMARY)
SET status = 'applied', attempted_at = NOW(6), settled_at = NOW(6), due_at = NULL, processing_us = {processing_us}
WHERE id IN ({ids}) AND status = 'received' AND attempts = 1
