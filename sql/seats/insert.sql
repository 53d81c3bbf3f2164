-- seats/insert: new seats of a ticket type, in the transaction that adds them to its stock
INSERT INTO seats (product_id, n, section, row_name, label, row_n, place, row_rank)
VALUES {rows}
