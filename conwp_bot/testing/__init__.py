"""The kit: a clock that is moved, fixtures for users and for us."""
