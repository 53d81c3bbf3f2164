-- audit/count_statements: how many statements all clients have sent to the server, this session included
SHOW GLOBAL STATUS LIKE 'Questions'
