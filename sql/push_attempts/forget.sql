-- push_attempts/forget: what is older than the latest attempts
DELETE FROM push_attempts
WHERE endpoint_id = :endpoint_id AND number < :first
