-- payment_events/find_id_step: by how much the generated ids of one INSERT differ
-- reads no table: the server keeps its variables in memory
SHOW VARIABLES LIKE 'auto_increment_increment'
