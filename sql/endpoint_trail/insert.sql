-- endpoint_trail/insert: what was changed about an endpoint
INSERT INTO endpoint_trail (change_id, endpoint_id, action, detail, operator)
VALUES (:change_id, :endpoint_id, :action, :detail, :operator)
