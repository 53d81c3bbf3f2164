-- schema_migrations/find_latest: the newest applied migration
SELECT MAX(version)
FROM schema_migrations
