-- inspection/list_variables: settings of the server that a sale depends on; those that this server does not have are left out
-- reads no table: the server keeps its variables in memory
SHOW GLOBAL VARIABLES
WHERE Variable_name IN ('version', 'version_comment', 'read_only', 'super_read_only', 'innodb_read_only', 'log_bin', 'sync_binlog',
                        'innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'innodb_flush_method', 'check_constraint_checks',
                        'max_connections', 'max_user_connections', 'max_allowed_packet')
