-- schema_migrations/list_open_transactions: the oldest transactions of other connections, those on this database first; one
-- of them may hold the lock that a migration waits for
-- reads no table: the server keeps this in memory
SELECT CONCAT('connection ', client.ID, ' of ', client.USER, '@', client.HOST, ' (transaction since ', open.trx_started,
              ' by the server''s clock, ', client.COMMAND, ' for ', client.TIME, ' s)')
FROM information_schema.INNODB_TRX AS open
JOIN information_schema.PROCESSLIST AS client ON client.ID = open.trx_mysql_thread_id
WHERE client.ID <> CONNECTION_ID()
ORDER BY client.DB <=> DATABASE() DESC, open.trx_started, client.ID
LIMIT 3
