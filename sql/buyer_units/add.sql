-- buyer_units/add: adds units to counters, or takes them off, in the order of their ids; a counter that is not there begins here
INSERT INTO buyer_units (id, units)
VALUES {rows}
ON DUPLICATE KEY UPDATE units = buyer_units.units + VALUES(units)
