"""`python -m conwp_bot.sandbox`: the sandbox as a process of its own. Its first line is `sandbox: http://…`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from conwp_bot.errors import ConwpBotError
from conwp_bot.model.budget import Limit
from conwp_bot.sandbox.options import RetryAfter, SandboxOptions, WindowKind
from conwp_bot.sandbox.server import serve


def parse_listen(text: str) -> tuple[str, int]:
    """Read `127.0.0.1:8800`, `[::1]:8800` or `:8800`; raises ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address; write HOST:PORT, e.g. 127.0.0.1:8800 (port 0 takes a free one)")
    return host.strip("[]") or "127.0.0.1", int(port)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conwp_bot.sandbox", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:8800", metavar="HOST:PORT")
    parser.add_argument("--limit", default="1000/hour", metavar="N/SPAN")
    parser.add_argument("--window", default="rolling", choices=[kind.value for kind in WindowKind])
    parser.add_argument("--retry-after", default="none", choices=[kind.value for kind in RetryAfter])
    parser.add_argument("--key", action="append", metavar="KEY", help="accept this key only; may be repeated")
    parser.add_argument("--forbidden-key", action="append", default=[], metavar="KEY", help="answer this key with 403")
    parser.add_argument("--latency", default=0.0, type=float, metavar="SECONDS")
    parser.add_argument("--keep", default=100_000, type=int, metavar="N", help="receipts to keep in memory")
    parser.add_argument("--receipts", type=Path, metavar="FILE", help="append each receipt to this file, as JSON Lines")
    said = parser.parse_args(argv)
    try:
        host, port = parse_listen(said.listen)
        options = SandboxOptions(
            limit=Limit.parse(said.limit),
            window=WindowKind(said.window),
            retry_after=RetryAfter(said.retry_after),
            keys=frozenset(said.key) if said.key else None,
            forbidden_keys=frozenset(said.forbidden_key),
            latency=timedelta(seconds=said.latency),
            keep=said.keep,
            receipts_file=said.receipts,
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        asyncio.run(_run(options, host, port))
    except (ConwpBotError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _run(options: SandboxOptions, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(options, host, port, announce=_announce, stop=stop)


def _announce(address: str) -> None:
    print(f"sandbox: {address}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
