-- schema_migrations/list: the changes that were made
SELECT version
FROM schema_migrations
