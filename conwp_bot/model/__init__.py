"""Values that cross stages; no I/O, no clock."""
