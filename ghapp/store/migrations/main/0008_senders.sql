-- An id of a delivery is its sender's: what was stored before came from GitHub.
UPDATE deliveries SET guid = 'github ' || guid;
