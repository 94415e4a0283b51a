"""conwp_bot: when this happens, send that WhatsApp message."""

__version__ = "0.1.0"
