-- readiness/touch: a real write, since only a commit shows that the server can write to its disk and to its replicas
INSERT INTO readiness (id, checked_at)
VALUES ({row}, NOW(6))
ON DUPLICATE KEY UPDATE checked_at = NOW(6)
