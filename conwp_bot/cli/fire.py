"""`conwp-bot fire` and `send`: messages by hand, through the same outbox as all others."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation, quiet_logs
from conwp_bot.cli.output import say, say_bubble, say_json, state_text
from conwp_bot.cli.problems import counted
from conwp_bot.cli.settling import MOST, settled, tell
from conwp_bot.errors import ConwpBotError
from conwp_bot.model.delivery import DEFAULT_ACCOUNT, State
from conwp_bot.model.run import RunState
from conwp_bot.telemetry import escape_controls

if TYPE_CHECKING:
    from conwp_bot.app.answers import FlowStatus
    from conwp_bot.app.manual import DryRun
    from conwp_bot.settings import Settings

_wait = click.option("--wait/--no-wait", default=True, help="Wait until the messages went to ConWP. Default: wait.")
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(0, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait no longer than this; what is pending then is kept.",
)


@click.command()
@click.argument("flow")
@click.option(
    "--data",
    type=click.Path(dir_okay=False, exists=True, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="What fires it, - for standard input: the dropped file of a flow with a file trigger (it is copied, not taken), "
    "else a payload: JSON, or text.",
)
@click.option("--payload", metavar="JSON", help="The payload itself: JSON, or text.")
@click.option(
    "--dry-run", is_flag=True, help="Show the messages that it would make; nothing is stored, nothing is sent."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one object: event, run, state, reason, rejected, messages."
)
@_wait
@_timeout
@common_options
@pass_invocation
def fire(
    invocation: Invocation,
    flow: str,
    data: Path | None,
    payload: str | None,
    dry_run: bool,
    as_json: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Fire FLOW by hand, and tell what became of its messages.

    Exits with 1 when the run failed, or a message did or may have (failed, expired, held…). With a running daemon, the daemon does it.
    """
    if data is not None and payload is not None:
        raise click.UsageError("--data and --payload are two ways to say the same thing: give one of them")
    settings = invocation.settings()
    if dry_run:
        raise click.exceptions.Exit(asyncio.run(_dry_run(settings, flow, data, payload, as_json)))
    raise click.exceptions.Exit(asyncio.run(_fire(settings, flow, data, payload, as_json, timeout if wait else 0.0)))


@click.command()
@click.option(
    "--to", "to", multiple=True, required=True, metavar="NUMBER", help="In any usual spelling; may be repeated."
)
@click.option("--text", default=None, metavar="TEXT", help="The message, - for standard input.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["text", "image", "video", "audio", "document"]),
    default=None,
    help="Default: text, or document beside --media.",
)
@click.option("--media", metavar="URL", help="The address of a picture, video, sound or document.")
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, metavar="NAME", help="Which account sends.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one object: event, run, state, reason, rejected, messages."
)
@_wait
@_timeout
@common_options
@pass_invocation
def send(
    invocation: Invocation,
    to: tuple[str, ...],
    text: str | None,
    kind: str | None,
    media: str | None,
    account: str,
    as_json: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Send one text to one or more numbers: stored first, within the budget, like every message.

    Exits with 1 when a message failed or may have.
    """
    if text is None and media is None:
        raise click.UsageError("give a --text, a --media, or both")
    if text == "-":
        text = sys.stdin.read().rstrip("\n")
    settings = invocation.settings()
    chosen = kind or ("document" if media else "text")
    work = _send(settings, list(to), text or "", chosen, media, account, as_json, timeout if wait else 0.0)
    raise click.exceptions.Exit(asyncio.run(work))


async def _fire(
    settings: Settings, name: str, data: Path | None, payload: str | None, as_json: bool, seconds: float
) -> int:
    from conwp_bot.app.asking import operations
    from conwp_bot.app.place import place_in_use

    quiet_logs()
    folder = place_in_use(settings).settings.data
    async with operations(settings) as work:
        pattern = _file_pattern(await work.flows(), name) if data is not None else None
        with _fuel(pattern, data, payload) as (value, file):
            fired = await work.fire(name, payload=value, file=file)
        await settled(folder, fired.run, seconds)
    return tell(folder, fired, settings.timezone, as_json=as_json, waited=seconds > 0)


async def _send(
    settings: Settings,
    to: list[str],
    text: str,
    kind: str,
    media: str | None,
    account: str,
    as_json: bool,
    seconds: float,
) -> int:
    from conwp_bot.app.asking import operations
    from conwp_bot.app.place import place_in_use

    quiet_logs()
    folder = place_in_use(settings).settings.data
    async with operations(settings) as work:
        fired = await work.send(to, text, kind=kind, media=media, account=account)
        await settled(folder, fired.run, seconds)
    return tell(folder, fired, settings.timezone, as_json=as_json, waited=seconds > 0)


async def _dry_run(settings: Settings, name: str, data: Path | None, payload: str | None, as_json: bool) -> int:
    from conwp_bot.app.manual import dry_run
    from conwp_bot.cli.flows import local_statuses
    from conwp_bot.clock import SystemClock

    pattern = _file_pattern(local_statuses(settings, SystemClock().now()), name) if data is not None else None
    with _fuel(pattern, data, payload) as (value, file):
        tried = await dry_run(settings, name, payload=value, file=file)
    if as_json:
        say_json(_as_json(tried))
    else:
        _show(tried)
    return 1 if tried.state is RunState.FAILED or any(each.state is not State.PENDING for each in tried.messages) else 0


def _as_json(tried: DryRun) -> dict[str, Any]:
    return {
        "state": tried.state.value,
        "reason": tried.reason,
        "messages": [
            {
                "recipient": message.recipient,
                "text": message.content.text,
                "type": message.content.kind,
                "media_url": message.content.media_url,
                "state": message.state.value,
                "reason": message.reason,
            }
            for message in tried.messages
        ],
        "rejects": [{"number": each.number, "reason": each.reason, "raw": each.raw} for each in tried.rejects],
        "trace": [
            {"step": entry.step, "item": entry.item, "did": entry.did, "detail": entry.detail} for entry in tried.trace
        ],
        "truncated": tried.truncated,
    }


def _show(tried: DryRun) -> None:
    for message in tried.messages[:MOST]:
        footer = f"{message.state}: {message.reason}" if message.reason else message.content.media_url
        say_bubble(f"to {message.recipient}", message.content.text, footer or "would be sent")
    if len(tried.messages) > MOST:
        say(f"… {len(tried.messages) - MOST:,} more (--json shows them)")
    for reject in tried.rejects[:MOST]:
        say(f"row {reject.number} is rejected: {escape_controls(reject.reason)}")
    if len(tried.rejects) > MOST:
        say(f"… {len(tried.rejects) - MOST:,} more rows are rejected")
    reason = tried.reason
    if reason is None and not tried.messages and tried.trace:
        reason = tried.trace[-1].detail
    say(f"{state_text(tried.state.value)}" + (f": {escape_controls(reason)}" if reason else ""))
    count = (
        f"more than {len(tried.messages):,} messages" if tried.truncated else counted(len(tried.messages), "message")
    )
    say(f"{count}; nothing was stored, nothing was sent")


def _file_pattern(statuses: list[FlowStatus], name: str) -> str | None:
    """Return what a flow's file trigger waits for, None when it has none (or is none: firing it says so)."""
    triggers = [trigger for status in statuses if status["id"] == name for trigger in status["triggers"]]
    return next((trigger["spec"] for trigger in triggers if trigger["kind"] == "file"), None)


@contextmanager
def _fuel(pattern: str | None, data: Path | None, payload: str | None) -> Iterator[tuple[Any, Path | None]]:
    """Give what fires a flow: a payload, or a file when it waits for one; a file made of standard input is removed afterwards."""
    if data is None:
        yield (None if payload is None else payload_of(payload)), None
    elif pattern is None:
        yield payload_of(_text_of(data)), None
    elif str(data) != "-":
        yield None, data
    else:
        with tempfile.TemporaryDirectory(prefix="conwp-bot-") as folder:
            file = Path(folder) / f"stdin{Path(pattern).suffix}"
            file.write_bytes(sys.stdin.buffer.read())
            yield None, file


def payload_of(text: str) -> Any:
    """Return the JSON value that a text is, or the text."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _text_of(data: Path) -> str:
    raw = sys.stdin.buffer.read() if str(data) == "-" else data.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConwpBotError(f"{data} is not UTF-8 text", hint="a payload is JSON or text in UTF-8") from None
