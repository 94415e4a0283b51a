"""`conwp-bot sandbox`: a local ConWP, as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conwp_bot.cli.invocation import common_options
from conwp_bot.cli.output import say

if TYPE_CHECKING:
    from conwp_bot.sandbox import SandboxOptions


@click.command()
@click.option(
    "--listen", default="127.0.0.1:8701", show_default=True, metavar="HOST:PORT", help="Port 0 takes a free one."
)
@click.option("--limit", default="1000/hour", show_default=True, metavar="N/SPAN", help="Requests of each key.")
@click.option(
    "--window",
    type=click.Choice(["rolling", "fixed"]),
    default="rolling",
    show_default=True,
    help="How its hour counts.",
)
@click.option(
    "--retry-after",
    type=click.Choice(["none", "seconds", "date"]),
    default="none",
    show_default=True,
    help="What a 429 says.",
)
@click.option(
    "--key", "keys", multiple=True, metavar="KEY", help="Accept this key only; may be repeated. Default: any key."
)
@click.option("--forbidden-key", "forbidden", multiple=True, metavar="KEY", help="Answer this key with 403.")
@click.option(
    "--latency", type=click.FloatRange(0, 3600), default=0.0, metavar="SECONDS", help="Wait before each answer."
)
@click.option(
    "--keep", type=click.IntRange(1), default=100_000, show_default=True, metavar="N", help="Receipts kept in memory."
)
@click.option(
    "--receipts",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append each receipt to this file.",
)
@common_options
def sandbox(
    listen: str,
    limit: str,
    window: str,
    retry_after: str,
    keys: tuple[str, ...],
    forbidden: tuple[str, ...],
    latency: float,
    keep: int,
    receipts: Path | None,
) -> None:
    """Run a local ConWP until Ctrl-C: it answers as the real one is documented to, and sends nothing.

    Its page shows the chats that it received; POST /_sandbox/faults makes it fail on demand. Accounts reach it by
    `base_url: http://HOST:PORT/yonetim/api/index.php`; `conwp-bot run --sandbox` starts one by itself.
    """
    from conwp_bot.model.budget import Limit
    from conwp_bot.sandbox import RetryAfter, SandboxOptions, WindowKind

    try:
        host, port = listen_address(listen)
        options = SandboxOptions(
            limit=Limit.parse(limit),
            window=WindowKind(window),
            retry_after=RetryAfter(retry_after),
            keys=frozenset(keys) if keys else None,
            forbidden_keys=frozenset(forbidden),
            latency=timedelta(seconds=latency),
            keep=keep,
            receipts_file=receipts,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    asyncio.run(_serve(options, host, port))


def listen_address(text: str) -> tuple[str, int]:
    """Read `127.0.0.1:8701`, `[::1]:8701` or `:8701`; raises click.BadParameter."""
    from conwp_bot.sandbox.__main__ import parse_listen

    try:
        return parse_listen(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None


async def _serve(options: SandboxOptions, host: str, port: int) -> None:
    from conwp_bot.sandbox import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(options, host, port, announce=lambda address: say(f"sandbox: {address}"), stop=stop)
