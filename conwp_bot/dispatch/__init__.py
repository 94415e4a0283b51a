"""From the outbox to the API, within the budget."""
