-- schema_migrations/find_latest: the newest change that was made
SELECT MAX(version)
FROM schema_migrations
