"""Flows with one trigger each, and an intake that remembers: what the sources' tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from conwp_bot.errors import StoreBusy
from conwp_bot.flows.flow import Flow, FlowSet, Trigger
from conwp_bot.model.delivery import policy_for
from conwp_bot.model.event import Event, EventReceipt, SlotMark
from conwp_bot.triggers.intake import Cursor

ISTANBUL = ZoneInfo("Europe/Istanbul")


def flow(flow_id: str, *triggers: Trigger, locale: str = "tr_TR") -> Flow:
    return Flow(
        id=flow_id,
        hash=f"hash of {flow_id}",
        source="",
        file=f"flows/{flow_id}.yaml",
        description="",
        timezone=ISTANBUL,
        locale=locale,
        triggers=triggers,
        when=None,
        vars={},
        blocks={"steps": ()},
        delivery=policy_for(expires=timedelta(hours=1)),
    )


def flow_set(*flows: Flow) -> FlowSet:
    return FlowSet({flow.id: flow for flow in flows})


class RememberedIntake:
    """Keeps events by their key and cursors beside them, as the store does; says busy as often as it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.by_key: dict[tuple[str, str, str], Event] = {}
        self.stored: dict[tuple[str, str], Cursor] = {}
        self.tries = 0
        self.busy = 0
        self.retry_after = 2.0
        self.on_accept: Callable[[Event], None] = lambda event: None

    async def accept(self, flow: Flow, event: Event, *, mark: SlotMark | None = None) -> EventReceipt:
        self.tries += 1
        if self.busy > 0:
            self.busy -= 1
            raise StoreBusy("the store is busy", retry_after=self.retry_after)
        self.on_accept(event)
        if mark is not None:
            await self.put([mark])
        if event.key is not None:
            first = self.by_key.setdefault((event.flow, event.trigger, event.key), event)
            if first is not event:
                return EventReceipt(first.id, first=False)
        self.events.append(event)
        return EventReceipt(event.id, first=True)

    async def cursors(self) -> Mapping[tuple[str, str], Cursor]:
        return dict(self.stored)

    async def put(self, marks: Sequence[SlotMark]) -> None:
        for mark in marks:
            self.stored[mark.flow, mark.trigger] = Cursor(mark.spec, mark.done_until)

    async def known(self, ids: Sequence[str]) -> set[str]:
        return {event.id for event in self.events} & set(ids)
