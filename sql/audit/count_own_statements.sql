-- audit/count_own_statements: how many statements this session has sent
SHOW SESSION STATUS LIKE 'Questions'
