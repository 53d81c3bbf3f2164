-- schema_migrations/insert: a change was made, maybe by two programs at once
INSERT INTO schema_migrations (version, name)
VALUES (:version, :name)
ON DUPLICATE KEY UPDATE version = schema_migrations.version
