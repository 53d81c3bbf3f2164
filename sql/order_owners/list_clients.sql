-- order_owners/list_clients: the clients that own orders, one by one along the index; 0 stands for anonymous callers
SELECT DISTINCT client_id
FROM order_owners FORCE INDEX (order_owners_client)
