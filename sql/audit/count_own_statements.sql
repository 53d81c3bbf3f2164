-- audit/count_own_statements: how many of them this session has sent
SHOW SESSION STATUS LIKE 'Questions'
