-- feed/begin_epoch: positions may not mean the same any more. The new epoch is one that this database never had, also before a backup
-- of it was restored: a number of microseconds
UPDATE feed
SET epoch = GREATEST(epoch + 1, CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED))
WHERE id = 1 AND epoch = :epoch
