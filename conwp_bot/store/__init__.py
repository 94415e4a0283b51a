"""The durable middle: events, runs, messages, the ledger."""
