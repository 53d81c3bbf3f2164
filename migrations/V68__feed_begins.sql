-- The feed begins at position 0 of its first epoch.
INSERT INTO feed (id, epoch, position, safe)
VALUES (1, 1, 0, 0)
ON DUPLICATE KEY UPDATE id = feed.id
