"""A run's trace, kept short: the answer to "why?" for ten rows, and for a million.

Of the same thing done by the same step the first few are kept whole, the rest only counted; the counts close the stored trace. A
run's progress carries the counters, so that a restart counts on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from conwp_bot.model.run import RunProgress, TraceEntry

DETAIL_LONGEST = 300


class Tracer:
    """Collects what steps do from here on; `detail` is only written when it will be kept."""

    def __init__(self, now: datetime, progress: RunProgress, *, most: int, each: int) -> None:
        self.entries: list[TraceEntry] = []
        self._now = now
        self._most = most
        self._each = each
        self._whole = dict(progress.traced)
        self._counted = dict(progress.counted)
        self._total = sum(self._whole.values())

    def note(self, step: str, did: str, detail: Callable[[], str] | str = "", item: int | None = None) -> None:
        """Keep one entry, or count it when there are enough like it."""
        key = f"{step} {did}"
        whole = self._whole.get(key, 0)
        if whole >= self._each or self._total >= self._most:
            self.count(step, did)
            return
        self._add(
            key, TraceEntry(self._now, step, did, shortened(detail if isinstance(detail, str) else detail()), item)
        )

    def count(self, step: str, did: str) -> None:
        """Count one, without an entry of its own."""
        key = f"{step} {did}"
        self._counted[key] = self._counted.get(key, 0) + 1

    def insist(self, step: str, did: str, detail: str, item: int | None = None) -> None:
        """Keep one entry however full the trace is: how a run ended."""
        self._add(f"{step} {did}", TraceEntry(self._now, step, did, shortened(detail), item))

    def mark(self) -> Mark:
        """Return where the trace is, for `back`."""
        return len(self.entries), self._whole.copy(), self._counted.copy(), self._total

    def back(self, mark: Mark) -> None:
        """Forget what was noted since `mark`."""
        length, self._whole, self._counted, self._total = mark
        del self.entries[length:]

    @property
    def traced(self) -> dict[str, int]:
        """How many entries were kept whole, by step and deed."""
        return self._whole

    @property
    def counted(self) -> dict[str, int]:
        """How many more there were, by step and deed."""
        return self._counted

    def _add(self, key: str, entry: TraceEntry) -> None:
        self.entries.append(entry)
        self._whole[key] = self._whole.get(key, 0) + 1
        self._total += 1


Mark = tuple[int, dict[str, int], dict[str, int], int]


def whole_trace(kept: Sequence[TraceEntry], progress: RunProgress, now: datetime) -> tuple[TraceEntry, ...]:
    """Return the trace to store: the entries that were kept whole, then a count for each deed that was done more often."""
    return (*kept, *(_counting(now, key, count) for key, count in progress.counted.items()))


def entries_of(stored: Sequence[TraceEntry], progress: RunProgress) -> tuple[TraceEntry, ...]:
    """Return a stored trace without the counts at its end, to go on with."""
    return tuple(stored[: sum(progress.traced.values())])


def shortened(text: str, longest: int = DETAIL_LONGEST) -> str:
    """Return the text on one line, cut when it is long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _counting(now: datetime, key: str, count: int) -> TraceEntry:
    step, _, did = key.rpartition(" ")
    return TraceEntry(now, step, did, f"{count:,} more like this" if count > 1 else "1 more like this")
