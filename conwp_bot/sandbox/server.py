"""The sandbox as a whole: a local ConWP over real HTTP, embedded in the caller's loop or a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette

from conwp_bot.clock import Clock, SystemClock
from conwp_bot.sandbox import control, page
from conwp_bot.sandbox.contract import API_PATH, Provider
from conwp_bot.sandbox.endpoint import Endpoint
from conwp_bot.sandbox.faults import Fault, FaultBook, parse_faults
from conwp_bot.sandbox.options import SandboxOptions
from conwp_bot.sandbox.receipts import Receipt, ReceiptLog, instant
from conwp_bot.sandbox.wire import EmbeddedServer, Receive, Scope, Send, listen


class Sandbox:
    """A local ConWP. `async with Sandbox(options, clock=clock) as sandbox:` listens on a free port of 127.0.0.1.

    The clock dates receipts and moves the hourly window; latencies and hangs are real time, as on a real wire.
    """

    def __init__(self, options: SandboxOptions | None = None, *, clock: Clock | None = None) -> None:
        self._options = options or SandboxOptions()
        self._clock = clock or SystemClock()
        self._provider = Provider(self._options)
        self._faults = FaultBook()
        self._log = ReceiptLog(self._options.keep, self._options.receipts_file)
        self._endpoint = Endpoint(self._provider, self._faults, self._log, self._clock)
        self._pages = Starlette(routes=[*page.routes(), *control.routes(self)])
        self._server: EmbeddedServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._address = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the page's address, `http://127.0.0.1:PORT`. Raises ConwpBotError when the port is taken.

        A stopped sandbox may be started again, also on its old port: it goes on where it was.
        """
        sock = listen(host, port)
        port = sock.getsockname()[1]
        self._address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        try:
            self._log.open()
        except OSError:
            sock.close()
            raise
        self._endpoint.stopping.clear()
        self._server = EmbeddedServer(self._app, self._options.keep_alive.total_seconds())
        self._serving = asyncio.create_task(self._server.serve(sockets=[sock]))
        await self._server.listening.wait()
        return self._address

    async def stop(self) -> None:
        """Stop listening; whatever hangs is cut. What was received can still be read."""
        if self._server is None or self._serving is None:
            return
        self._endpoint.stopping.set()
        self._log.wake()
        self._server.stop()
        await self._serving
        self._server = self._serving = None
        self._log.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """Where the page and the control endpoints are: `http://127.0.0.1:PORT`."""
        return self._address

    @property
    def base_url(self) -> str:
        """What an account's `base_url` has to be."""
        return self._address + API_PATH

    @property
    def options(self) -> SandboxOptions:
        """The options in force."""
        return self._options

    @property
    def stopping(self) -> asyncio.Event:
        """Set as soon as the sandbox is asked to stop."""
        return self._endpoint.stopping

    @property
    def receipts(self) -> ReceiptLog:
        """All receipts since the last reset, in order."""
        return self._log

    async def wait_for_receipt(self, wanted: Callable[[Receipt], bool], timeout: float = 10.0) -> Receipt:
        """Return the first receipt, past or coming, that is wanted; raises TimeoutError that tells what came instead."""
        return await self._log.wait_for(wanted, timeout)

    async def wait_for_receipts(self, count: int, timeout: float = 10.0) -> tuple[Receipt, ...]:
        """Wait until `count` requests were received since the last reset, and return what is kept of all."""
        await self._log.wait_for(lambda receipt: receipt.n >= count, timeout)
        return tuple(self._log)

    async def wait_for_messages(self, count: int, timeout: float = 10.0) -> None:
        """Wait until `count` messages were accepted since the last reset."""
        try:
            async with asyncio.timeout(timeout):
                while self._endpoint.counts["messages"] < count:
                    await self._log.changed()
        except TimeoutError:
            got = self._endpoint.counts["messages"]
            raise TimeoutError(f"{got} of {count} messages were accepted within {timeout:g} s") from None

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force, with what is left of each."""
        return self._faults.as_json()

    def set_faults(self, rules: Iterable[Fault | dict[str, Any]]) -> None:
        """Put these rules in force instead of the present ones; dictionaries are as in `POST /_sandbox/faults`."""
        said = [rule if isinstance(rule, Fault) else parse_faults([rule])[0] for rule in rules]
        self._faults.replace(said)
        self._log.wake()

    def configure(self, options: SandboxOptions) -> None:
        """Go on under other options; `keep`, `receipts_file` and `keep_alive` stay those of the start."""
        self._options = options
        self._provider.configure(options)
        self._log.wake()

    def reset(self) -> None:
        """Forget receipts, faults and counters; settings stay."""
        self._faults.replace([])
        self._provider.clear()
        self._endpoint.counts.update(dict.fromkeys(self._endpoint.counts, 0))
        self._log.clear()

    def state(self) -> dict[str, Any]:
        """Return the counters as `GET /_sandbox/state` shows them."""
        now = self._clock.now()
        options = self._options
        accounts = [
            {
                "key": key,
                "used": account.window.used(now),
                "frees_at": instant(account.window.frees_at(now)),
                "messages": account.messages,
                "successful": account.successful,
                "failed": account.failed,
            }
            for key, account in list(self._provider.accounts.items())[:50]
        ]
        return {
            "now": instant(now),
            "epoch": self._log.epoch,
            "last": self._log.last,
            "limit": {"text": str(options.limit), "count": options.limit.count},
            "window": options.window.value,
            "counts": dict(self._endpoint.counts),
            "accounts": accounts,
            "faults": self._faults.as_json(),
        }

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == API_PATH:
            await self._endpoint(scope, receive, send)
        else:
            await self._pages(scope, receive, send)


async def serve(
    options: SandboxOptions,
    host: str,
    port: int,
    *,
    announce: Callable[[str], None],
    stop: asyncio.Event,
    clock: Clock | None = None,
) -> None:
    """Run a sandbox until `stop` is set; `announce` gets its address once it listens."""
    sandbox = Sandbox(options, clock=clock)
    announce(await sandbox.start(host, port))
    try:
        await stop.wait()
    finally:
        await sandbox.stop()
