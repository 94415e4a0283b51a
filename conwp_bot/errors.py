"""The errors that callers tell apart: one base, few leaves, each with what to do."""

from __future__ import annotations


class ConwpBotError(Exception):
    """Base of all errors that are raised on purpose; `str()` is one line for a person, `hint` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(ConwpBotError):
    """The config cannot be used; a file's problems are reported as `Problem`s, this is what is left."""


class StoreBusy(ConwpBotError):
    """The store cannot take more now; nothing was stored, and the same call may succeed after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreClosed(ConwpBotError):
    """The store is closed or closing; nothing was stored."""


class StoreBroken(ConwpBotError):
    """The database cannot be used (too new, not ours, corrupt, read-only)."""


class AlreadyRunning(ConwpBotError):
    """Another daemon holds the database's lock."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{path} is held by {holder}: one daemon works on a database at a time",
            hint="stop it first, or give this one a `data` folder of its own",
        )
        self.path = path
        self.pid = pid


class InvalidRecipient(ConwpBotError):
    """A text that is no phone number that WhatsApp could have."""


class RenderFailed(ConwpBotError):
    """A template or an expression could not be evaluated; the message names the field and the cause."""


class ImpossibleTransition(ConwpBotError):
    """A delivery was asked to leave its state by a cause that its state does not know."""
