-- payment_event_operators/insert_last: which operator acted: the action is the last row of the trail that this connection wrote
INSERT INTO payment_event_operators (event_id, trail_id, operator)
VALUES (:event_id, LAST_INSERT_ID(), :operator)
