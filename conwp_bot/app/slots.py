"""The cursors of schedules, from the store to the cron source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conwp_bot.model.event import SlotMark
from conwp_bot.store.records import put_marks, slot_marks
from conwp_bot.store.seam import Store
from conwp_bot.triggers.intake import Cursor


class StoredSlots:
    """`triggers.intake.SlotStore` on the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def cursors(self) -> Mapping[tuple[str, str], Cursor]:
        """Return all cursors."""
        marks = await self._store.read(slot_marks)
        return {(mark.flow, mark.trigger): Cursor(mark.spec, mark.done_until) for mark in marks}

    async def put(self, marks: Sequence[SlotMark]) -> None:
        """Store cursors that belong to no event."""
        await self._store.do(put_marks, marks)
