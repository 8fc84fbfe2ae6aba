"""Other programs at the same work, each imported only in a process of its own."""
