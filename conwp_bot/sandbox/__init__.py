"""A local ConWP: the documented contract, a page that shows the chats, faults on demand."""

from conwp_bot.sandbox.faults import Fault, FaultKind
from conwp_bot.sandbox.options import RetryAfter, SandboxOptions, WindowKind
from conwp_bot.sandbox.receipts import Receipt, ReceivedMessage
from conwp_bot.sandbox.server import Sandbox, serve

__all__ = [
    "Fault",
    "FaultKind",
    "Receipt",
    "ReceivedMessage",
    "RetryAfter",
    "Sandbox",
    "SandboxOptions",
    "WindowKind",
    "serve",
]
