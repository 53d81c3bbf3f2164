-- schema_migrations/count_tables: whether this database has the table of applied migrations
SELECT COUNT(version_table.table_name)
FROM information_schema.tables AS version_table
WHERE version_table.table_schema = DATABASE() AND version_table.table_name = 'schema_migrations'
