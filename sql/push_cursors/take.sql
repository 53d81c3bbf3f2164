-- push_cursors/take: takes the lease of an endpoint, or makes it longer
UPDATE push_cursors
SET holder = :holder, leased_until = NOW(6) + INTERVAL :seconds SECOND
WHERE endpoint_id = :endpoint_id AND (holder = :holder OR leased_until <= NOW(6))
