"""The HTTP surface of the daemon: hooks, health, control."""
