"""Programs that are wired, one short file each."""
