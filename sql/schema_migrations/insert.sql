-- schema_migrations/insert: a migration was applied, maybe by two programs at once
INSERT INTO schema_migrations (version, name)
VALUES (:version, :name)
ON DUPLICATE KEY UPDATE version = schema_migrations.version
