-- inspection/list_grants: what the user of this session may do, by its roles too
-- reads no table: the server keeps privileges in memory
SHOW GRANTS
