-- hold_owners/list_clients: the clients that own holds, one by one along the index; 0 stands for anonymous callers
SELECT DISTINCT client_id
FROM hold_owners FORCE INDEX (hold_owners_client)
