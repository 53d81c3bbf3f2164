-- feed_batches/insert: what a transaction tells, its last statement before COMMIT
INSERT INTO feed_batches (client_id, items, transitions, batch, events)
VALUES {rows}
