-- schema_migrations/list: the applied migrations
SELECT version
FROM schema_migrations
