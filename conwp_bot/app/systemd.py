"""What systemd is told, and asks: readiness, reloading, stopping, the watchdog. Protocol: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta

PATIENCE = 0.5
"""Seconds to wait for room in systemd's queue (a few messages): a manager that hangs must not hang us."""


class Notifier:
    """Sends datagrams to systemd's socket; without one (not started by systemd) it does nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog = _watchdog(environ)

    def ready(self, status: str) -> None:
        """Triggers are live."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self, monotonic: float) -> None:
        """A reload begins; `monotonic` is CLOCK_MONOTONIC in seconds, which Type=notify-reload wants."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")

    def stopping(self) -> None:
        """The daemon has begun to stop."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The loop turns and the store answers."""
        self._send("WATCHDOG=1", patience=0.0)

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def _send(self, *lines: str, patience: float = PATIENCE) -> None:
        if not self._address:
            return
        # A leading @ means Linux's abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(line.replace("\n", " ") for line in lines)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(patience)
            try:
                sender.sendto(message.encode(), address)
            except OSError:  # systemd will judge by what it hears; we go on
                pass


def _watchdog(environ: Mapping[str, str]) -> timedelta | None:
    """Return how often to say `alive`: half of what systemd allows; None when it does not watch this process."""
    try:
        allowed = int(environ.get("WATCHDOG_USEC", "0"))
        pid = int(environ.get("WATCHDOG_PID", "0"))
    except ValueError:
        return None
    if allowed <= 0 or (pid and pid != os.getpid()):
        return None
    return timedelta(microseconds=allowed / 2)
