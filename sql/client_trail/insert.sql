-- client_trail/insert: what an operator changed about a client
INSERT INTO client_trail (change_id, client_id, action, detail, operator)
VALUES (:change_id, :client_id, :action, :detail, :operator)
