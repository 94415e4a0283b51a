"""The hourly limit of one key, counted the way the provider might: rolling or fixed."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

from conwp_bot.model.budget import Limit
from conwp_bot.sandbox.options import WindowKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window:
    """Counts requests and says which of them are over the limit. Every request counts, the refused ones too.

    Because of that, a request is over a rolling limit of N exactly when the N-th last one before it is younger than the span: N
    instants are all that is kept, however hard a client hammers.
    """

    def __init__(self, limit: Limit, kind: WindowKind, offset: timedelta) -> None:
        self._limit = limit
        self._kind = kind
        self._offset = offset
        self._instants: deque[datetime] = deque(maxlen=limit.count)
        self._fixed_start = _EPOCH
        self._fixed_count = 0

    def take(self, now: datetime) -> bool:
        """Count a request at `now`; True when it is within the limit."""
        used = self.used(now)
        if self._kind is WindowKind.ROLLING:
            self._instants.append(now)
        else:
            self._fixed_count += 1
        return used < self._limit.count

    def used(self, now: datetime) -> int:
        """Return how many requests count at `now`; a rolling window stops counting at its limit."""
        if self._kind is WindowKind.ROLLING:
            left = now - self._limit.span
            while self._instants and self._instants[0] <= left:
                self._instants.popleft()
            return len(self._instants)
        start = self._start(now)
        if start != self._fixed_start:
            self._fixed_start, self._fixed_count = start, 0
        return self._fixed_count

    def frees_at(self, now: datetime) -> datetime:
        """Return when the next request is within the limit: `now` if it is already."""
        if self.used(now) < self._limit.count:
            return now
        if self._kind is WindowKind.ROLLING:
            return self._instants[0] + self._limit.span
        return self._fixed_start + self._limit.span

    def changed(self, limit: Limit, kind: WindowKind, offset: timedelta) -> Window:
        """Return a window under other rules; what was counted stays as long as only the number changed."""
        after = Window(limit, kind, offset)
        if (kind, offset, limit.span) == (self._kind, self._offset, self._limit.span):
            after._instants.extend(self._instants)
            after._fixed_start, after._fixed_count = self._fixed_start, self._fixed_count
        return after

    def _start(self, now: datetime) -> datetime:
        span = self._limit.span
        return _EPOCH + self._offset + span * ((now - _EPOCH - self._offset) // span)
