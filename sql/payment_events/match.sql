-- payment_events/match: an unmatched event gets the order or hold that one of its objects belongs to; from then on it is
-- handled like an event that arrives now, and may wait for its order as long
UPDATE payment_events FORCE INDEX (PRIMARY)
SET status = 'received', order_id = :order_id, hold_id = :hold_id, txn_id = :txn_id, settled_at = NULL, attempts = 0,
    due_at = NOW(6), park_until = NOW(6) + INTERVAL :park_seconds SECOND
WHERE id = :event_id AND status = 'unmatched'
