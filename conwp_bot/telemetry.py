"""Logs: clear lines for people or JSON for programs, with run, flow and message ids, and nothing secret."""
