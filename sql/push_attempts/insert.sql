-- push_attempts/insert: how attempts ended
INSERT INTO push_attempts (endpoint_id, number, position, event_id, attempt, outcome, status, answer, duration_ms)
VALUES {rows}
