-- readiness/insert_no_feed_batches: inserts no row; fails when the table is missing, locked or read-only, or INSERT is not
-- granted
INSERT INTO feed_batches (client_id, items, transitions, batch, events)
SELECT client_id, items, transitions, batch, events
FROM feed_batches
WHERE FALSE
