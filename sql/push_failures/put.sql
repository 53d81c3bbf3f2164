-- push_failures/put: events that were not delivered
INSERT INTO push_failures (endpoint_id, position, row_position, order_id, state, attempts, happened_at, next_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE state = VALUES(state), attempts = VALUES(attempts), next_at = VALUES(next_at)
