"""The config: its values (here), its authored form, its loading, and where secrets come from.

Importing this costs nothing; `settings.load` brings the YAML and form libraries along.
"""

from conwp_bot.settings.values import AccountSettings, Bulk, LogSettings, Pace, Settings, WebSettings

__all__ = ["AccountSettings", "Bulk", "LogSettings", "Pace", "Settings", "WebSettings"]
