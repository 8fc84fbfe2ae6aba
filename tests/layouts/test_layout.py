"""A row reads what it writes, for every layout and family."""
