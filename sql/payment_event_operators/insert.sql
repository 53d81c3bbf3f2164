-- payment_event_operators/insert: which operator dismissed an event; the latest dismissal counts
INSERT INTO payment_event_operators (event_id, trail_id, operator)
VALUES (:event_id, 0, :operator)
ON DUPLICATE KEY UPDATE operator = VALUES(operator)
