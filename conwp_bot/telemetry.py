"""Logs: clear lines for people or JSON for programs, with run, flow and message ids, and nothing secret.

One handler on the root logger, made by `configure` and taken away by `restore`. Whatever is written passes through `_Safe`:
registered secrets are removed before anything is cut or escaped, phone numbers are masked, control characters are escaped (so that
no payload makes a line of its own), and each field is cut at 8 KiB. A record itself is never changed: other handlers see it as it was.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import quote, quote_plus

from conwp_bot.model.recipient import mask_number
from conwp_bot.model.secret import Secret

LONGEST = 8192
"""How many characters of one field are written."""

SHORTEST_SECRET = 4
"""A shorter secret is not looked for: it would stand in half of all lines, and hiding it there would show it."""

QUIET = ("httpx", "httpcore", "uvicorn", "watchfiles", "sqlalchemy", "alembic", "asyncio", "multipart")
"""Libraries that are heard from `warning` on only: at lower levels they tell of addresses and headers."""

IDS = frozenset({"flow", "run", "message_id", "event", "request", "trigger", "step", "pid", "port", "account"})
"""Fields in which digits are never a phone number."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_OURS = frozenset({"time", "level", "logger", "message", "traceback"})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "36",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "31;1",
}

# C0, DEL and C1 controls; line and paragraph separators; signs that turn the direction of what follows.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# A run of 10 to 15 digits that is no part of an id, a decimal or a longer number; or one with + and the usual filling between.
_NUMBER = re.compile(r"(?<![\w.:#-])\+?\d{10,15}(?![\w]|[.:-]\d)|(?<![\w+])\+\d{1,3}(?:[ .()/-]{0,2}\d){7,12}(?!\d)")
_BARE = re.compile(r"[\w.:/@+*-]+")

# Secrets are process-wide because logging is: one that is forgotten by a handler made later would be worse.
_secrets: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None


def register_secret(secret: Secret) -> None:
    """Remove this secret, also in its URL, JSON and repr spellings, from everything that is written from now on."""
    global _pattern
    value = secret.reveal()
    if len(value) < SHORTEST_SECRET:
        return
    spellings = {value, quote(value, safe=""), quote(value), quote_plus(value), repr(value)[1:-1]}
    spellings |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    _secrets.update(dict.fromkeys(spellings))
    _pattern = re.compile("|".join(re.escape(each) for each in sorted(_secrets, key=len, reverse=True)))


def redact(text: str) -> str:
    """Return a text with every registered secret replaced by `***`."""
    return text if _pattern is None else _pattern.sub("***", text)


def mask_numbers(text: str) -> str:
    """Return a text with the middle of each phone number hidden; ids, dates and times stay."""
    return _NUMBER.sub(lambda found: mask_number(re.sub(r"\D", "", found[0])), text)


def escape_controls(text: str) -> str:
    """Return a text in which every control character is written as `\\n`, `\\x1b` and the like: one line, no terminal codes."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def configure(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the config's word
    """Send logs of `level` (debug, info, warning, error) and above to `stream` (default: stderr).

    `format` is human, json, or auto: human on a terminal, JSON elsewhere. Configuring again replaces what was configured before.
    Raises ValueError for a word that is none of these.
    """
    if level not in _LEVELS or format not in ("auto", "human", "json"):
        raise ValueError(f"no such level or format of logs: {level!r}, {format!r}")
    _remove_handlers()
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    human = format == "human" or (format == "auto" and terminal)
    handler = _Handler(out)
    handler.setFormatter(HumanFormatter(terminal and "NO_COLOR" not in os.environ) if human else JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def restore() -> None:
    """Undo `configure` and forget all secrets; for tests."""
    global _pattern
    _remove_handlers()
    logging.getLogger().setLevel(logging.WARNING)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _secrets.clear()
    _pattern = None


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, then the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _safe_text(_message(record)),
        }
        for name, value in _extras(record).items():
            fields[f"extra_{name}" if name in _OURS else name] = value
        trace = _traceback(record)
        if trace:
            fields["traceback"] = _safe_text(trace)
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


class HumanFormatter(logging.Formatter):
    """`2026-11-22 09:00:00 info    accepted  flow=hello message_id=…`, in local time; a traceback follows, each line marked."""

    def __init__(self, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower():<7}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, '0')}m{level}\x1b[0m"
        parts = [
            f"{_moment(record).astimezone():%Y-%m-%d %H:%M:%S} {level} {escape_controls(_safe_text(_message(record)))}"
        ]
        parts += [f"{name}={_shown(value)}" for name, value in _extras(record).items() if value not in (None, "")]
        line = parts[0] + ("  " + " ".join(parts[1:]) if len(parts) > 1 else "")
        trace = _traceback(record)
        if trace:
            line += "".join(f"\n    | {escape_controls(each)}" for each in _safe_text(trace).split("\n"))
        return line


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a line that cannot be written is told of without what was in it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            encoding = getattr(self.stream, "encoding", None) or "utf-8"
            self.stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
            self.flush()
        except RecursionError:
            raise
        except Exception as error:
            # logging's own report would print the arguments, secrets included.
            try:
                sys.stderr.write(f"a log line of {record.name} could not be written: {type(error).__name__}\n")
            except (OSError, ValueError):
                pass


def _remove_handlers() -> None:
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
        handler.close()


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} (with arguments that do not fit)"


def _traceback(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        parts.append("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        escape_controls(name)[:100]: _safe_value(value, _cut_and_redacted if name in IDS else _safe_text)
        for name, value in record.__dict__.items()
        if name not in _STANDARD
    }


def _safe_value(value: Any, safe: Callable[[str], str]) -> Any:
    """Return a value of JSON's types, with its texts made safe; a large structure becomes a text, so that it can be cut."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case str():
            return safe(str(value))
        case datetime():
            return value.isoformat()
        case Mapping() | list() | tuple() | set() | frozenset():
            return safe(
                json.dumps(
                    value if isinstance(value, dict) else list(value), ensure_ascii=False, default=str, skipkeys=True
                )
            )
        case _:
            return safe(str(value))


def _safe_text(text: str) -> str:
    return mask_numbers(_cut_and_redacted(text))


def _cut_and_redacted(text: str) -> str:
    text = redact(text)  # before the cut, which could leave half of a secret
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST} characters more)"


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _BARE.fullmatch(text):
        return text
    return escape_controls(json.dumps(text, ensure_ascii=False))
