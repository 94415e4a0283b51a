"""The receipts: what the sandbox received, in order, with its answers. Tests read them as the truth.

A receipt is kept as its JSON line, because that is what the control endpoint, the page and the file want, and because a hundred
thousand lines take a tenth of the memory of as many objects.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, overload

to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One message of a request. `accepted` is what is true at the provider, whatever the client was told."""

    receiver: str
    text: str
    type: str
    media_url: str | None
    message_id: int | None
    accepted: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """One request. `arrived` is when its headers came, `time` when it was counted and decided (aware UTC).

    `status` is what was answered, None when the connection ended without an answer; `cut` says that the connection was ended before
    the answer was whole; `body` is the answer's JSON, or its text when that is none. `fault` names the rule that struck.
    """

    n: int
    time: datetime
    arrived: datetime
    endpoint: str
    method: str
    key: str
    messages: tuple[ReceivedMessage, ...]
    status: int | None
    body: Any
    cut: bool
    retry_after: str | None
    fault: str | None

    @classmethod
    def read(cls, line: bytes) -> Receipt:
        """Read a receipt's JSON line."""
        said = json.loads(line)
        answer = said["answer"]
        return cls(
            n=said["n"],
            time=datetime.fromisoformat(said["time"]),
            arrived=datetime.fromisoformat(said["arrived"]),
            endpoint=said["endpoint"],
            method=said["method"],
            key=said["key"],
            messages=tuple(ReceivedMessage(**message) for message in said["messages"]),
            status=answer["status"],
            body=answer["body"],
            cut=answer["cut"],
            retry_after=answer["retry_after"],
            fault=said["fault"],
        )


def instant(at: datetime) -> str:
    """Write an instant as receipts do: `2026-01-31T09:00:00.000000Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class ReceiptLog(Sequence[Receipt]):
    """All receipts since the last reset, the oldest dropped beyond `keep`; they are decoded as they are looked at."""

    def __init__(self, keep: int, file: Path | None) -> None:
        self._lines: deque[bytes] = deque(maxlen=keep)
        self._path = file
        self._file: BinaryIO | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self.last = 0
        """The number of the newest receipt; 0 when there is none."""
        self.epoch = 1
        """Goes up with each reset, so that a reader who polls by number notices."""

    def open(self) -> None:
        """Open the file, if there is one, to append."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a line is the kernel's before the answer is sent, so it survives a kill of this process.
            self._file = self._path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file; receipts stay readable."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def record(self, receipt: dict[str, Any]) -> None:
        """Number the receipt (its first key, `n`, is set here) and keep it; on return it is in memory and in the file."""
        self.last += 1
        receipt["n"] = self.last
        # Lone surrogates are valid JSON escapes and no valid UTF-8.
        line = to_text(receipt).encode("utf-8", "replace")
        self._lines.append(line)
        if self._file is not None:
            self._file.write(line + b"\n")
        if self._waiting:
            self.wake()

    def clear(self) -> None:
        """Forget everything; numbers begin at 1 again and the file is emptied."""
        self._lines.clear()
        self.last = 0
        self.epoch += 1
        if self._file is not None:
            self._file.truncate(0)
        self.wake()

    def lines(self, since: int = 0, most: int | None = None) -> list[bytes]:
        """Return the lines numbered above `since`, at most the newest `most` of them."""
        wanted = max(0, min(self.last - since, len(self._lines)))
        if most is not None:
            wanted = min(wanted, most)
        if wanted == 0:
            return []
        if wanted * 2 > len(self._lines):
            return list(islice(self._lines, len(self._lines) - wanted, None))
        newest = list(islice(reversed(self._lines), wanted))
        newest.reverse()
        return newest

    def wake(self) -> None:
        """Wake all who wait for a change."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Wait for the next receipt or reset."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    async def wait_for(self, wanted: Callable[[Receipt], bool], timeout: float) -> Receipt:
        """Return the first receipt, past or coming, that is wanted; raises TimeoutError that tells what came instead."""
        seen = 0
        newest: Receipt | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for line in self.lines(seen):
                        newest = Receipt.read(line)
                        seen = newest.n
                        if wanted(newest):
                            return newest
                    await self.changed()
                    if self.last < seen:
                        seen = 0
        except TimeoutError:
            raise TimeoutError(f"no such receipt within {timeout:g} s; {self.last} came, the last: {newest}") from None

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Receipt]:
        return (Receipt.read(line) for line in list(self._lines))

    @overload
    def __getitem__(self, index: int) -> Receipt: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Receipt]: ...

    def __getitem__(self, index: int | slice) -> Receipt | Sequence[Receipt]:
        if isinstance(index, slice):
            return tuple(Receipt.read(line) for line in list(self._lines)[index])
        return Receipt.read(self._lines[index])
