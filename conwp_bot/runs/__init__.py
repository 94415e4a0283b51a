"""An event becomes a run and its messages."""
