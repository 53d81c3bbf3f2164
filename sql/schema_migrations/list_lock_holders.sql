-- schema_migrations/list_lock_holders: connections that hold the lock on a table that a migration waits for
-- reads no table: the server keeps this in memory
SELECT DISTINCT CONCAT('connection ', holder.PROCESSLIST_ID, ' of ', COALESCE(holder.PROCESSLIST_USER, '?'), '@',
                       COALESCE(holder.PROCESSLIST_HOST, '?'), ' (', COALESCE(holder.PROCESSLIST_COMMAND, '?'), ' for ',
                       COALESCE(holder.PROCESSLIST_TIME, 0), ' s)') AS described,
       COALESCE(holder.PROCESSLIST_TIME, 0) AS seconds
FROM performance_schema.metadata_locks AS held
JOIN performance_schema.threads AS holder ON holder.THREAD_ID = held.OWNER_THREAD_ID
WHERE held.LOCK_STATUS = 'GRANTED' AND holder.PROCESSLIST_ID <> CONNECTION_ID()
  AND (held.OBJECT_TYPE = 'TABLE' AND held.OBJECT_SCHEMA = DATABASE() AND held.OBJECT_NAME = :table_name
       OR held.OBJECT_TYPE IN ('GLOBAL', 'BACKUP LOCK') AND held.LOCK_TYPE = 'SHARED')
ORDER BY seconds DESC
LIMIT 3
