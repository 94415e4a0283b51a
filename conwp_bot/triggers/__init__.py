"""The world becomes events: schedules, webhooks, dropped files."""
