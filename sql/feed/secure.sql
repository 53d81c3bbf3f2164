-- feed/secure: positions up to this one are on disk
UPDATE feed
SET safe = :position
WHERE id = 1 AND safe < :position AND position >= :position
