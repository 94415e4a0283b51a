"""The source of schedules: at each slot, an event."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from conwp_bot.clock import Clock
from conwp_bot.flows.flow import CronTrigger, Flow, FlowSet
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event, EventKind, SlotMark
from conwp_bot.triggers.intake import Cursor, Intake, SlotStore
from conwp_bot.triggers.patience import insist
from conwp_bot.triggers.schedule import delay_of, due_slots, next_slot, spec_of

log = logging.getLogger(__name__)

_AT_ONCE = 64  # accepts under way; what the store commits as one group
_BREATH = 20  # schedules looked at between two turns of the loop
_CLOCK_WAS_WRONG = timedelta(days=1)


@dataclass(slots=True, eq=False)
class _Schedule:
    """A live trigger, how far it is worked off, and when it is due next (None: never). While it is `busy` it is not in the heap."""

    flow: Flow
    trigger: CronTrigger
    spec: str
    done_until: datetime
    delay: timedelta
    due: datetime | None = None
    busy: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.flow.id, self.trigger.id

    def mark(self) -> SlotMark:
        return SlotMark(self.flow.id, self.trigger.id, self.spec, self.done_until)


class CronSource:
    """Fires the slots of the live flow set, each once: a slot's event and the cursor behind it are one commit.

    A schedule that is new, or whose expression or zone changed, begins now. One that was live before (also before a restart) goes on
    from its cursor, and what passed meanwhile is caught up as its `catch_up` says.
    """

    def __init__(self, intake: Intake, slots: SlotStore, clock: Clock, ids: Ids) -> None:
        self._intake = intake
        self._slots = slots
        self._clock = clock
        self._ids = ids
        self._live: dict[tuple[str, str], _Schedule] = {}
        self._heap: list[tuple[datetime, int, _Schedule]] = []
        self._pushed = 0
        self._pending: FlowSet | None = None
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._adopted = asyncio.Event()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._firing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def set_flows(self, flow_set: FlowSet) -> None:
        """Let this flow set be the live one; the loop adapts at its next turn."""
        self._pending = flow_set
        self._adopted.clear()
        self._wake.set()

    async def start(self) -> None:
        """Begin to fire; returns once the flow set given before has its cursors, so that no slot after this is lost."""
        cursors = dict(await self._slots.cursors())
        self._loop = asyncio.create_task(self._run(cursors), name="cron")
        adopted = asyncio.create_task(self._adopted.wait())
        await asyncio.wait({self._loop, adopted}, return_when=asyncio.FIRST_COMPLETED)
        adopted.cancel()
        if self._loop.done():
            self._loop.result()

    async def stop(self) -> None:
        """Stop firing; what is being stored is waited for, what waits for a retry stays due in the store."""
        self._stop.set()
        self._wake.set()
        if self._loop is not None:
            await self._loop
        if self._firing:
            await asyncio.gather(*self._firing, return_exceptions=True)

    def next_slots(self) -> Mapping[tuple[str, str], datetime]:
        """Say when each live schedule fires next, by flow and trigger."""
        return {key: schedule.due for key, schedule in self._live.items() if schedule.due is not None}

    async def _run(self, cursors: dict[tuple[str, str], Cursor]) -> None:
        last = self._clock.now()
        while not self._stop.is_set():
            self._wake.clear()
            if self._pending is None:
                self._adopted.set()
            else:
                flow_set, self._pending = self._pending, None
                await self._adopt(flow_set, cursors)
                cursors = {}
            now = self._clock.now()
            if last - now > _CLOCK_WAS_WRONG:
                self._forget_the_future(now)
            last = now
            await self._begin_due(now)
            await self._clock.wait(self._wake, self._heap[0][0] if self._heap else None)

    async def _begin_due(self, now: datetime) -> None:
        looked = 0
        while self._heap and self._heap[0][0] <= now:
            _, _, schedule = heapq.heappop(self._heap)
            schedule.busy = True
            task = asyncio.create_task(self._work_off(schedule))
            self._firing.add(task)
            task.add_done_callback(self._firing.discard)
            looked += 1
            if looked % _BREATH == 0:
                await asyncio.sleep(0)

    async def _adopt(self, flow_set: FlowSet, cursors: Mapping[tuple[str, str], Cursor]) -> None:
        """Replace the live schedules. `cursors` are the stored ones, at the first set after the start; later ones begin now."""
        now = self._clock.now()
        live: dict[tuple[str, str], _Schedule] = {}
        fresh: list[_Schedule] = []
        begun: list[_Schedule] = []
        for flow, trigger in _cron_triggers(flow_set):
            key, spec, delay = (flow.id, trigger.id), spec_of(trigger), delay_of(flow.id, trigger)
            known = self._live.get(key)
            if known is not None and known.spec == spec:
                moved = known.delay != delay
                known.flow, known.trigger, known.delay = flow, trigger, delay
                live[key] = known
                if not moved:
                    continue
                # The old entry in the heap would come too early or too late: another object makes it void.
                live[key] = schedule = _Schedule(flow, trigger, spec, known.done_until, delay)
            else:
                schedule = _Schedule(flow, trigger, spec, now, delay)
                cursor = cursors.get(key)
                if cursor is not None and cursor.spec == spec and cursor.done_until - now <= _CLOCK_WAS_WRONG:
                    schedule.done_until = cursor.done_until
                else:
                    fresh.append(schedule)
                live[key] = schedule
            begun.append(schedule)
            if len(begun) % _BREATH == 0:
                await asyncio.sleep(0)
        if fresh:
            await self._try(
                "the cursors of new schedules are not stored", lambda: self._slots.put([s.mark() for s in fresh])
            )
        self._live = live
        if self._pending is None:
            self._adopted.set()
        for count, schedule in enumerate(begun, 1):
            self._plan(schedule)
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        self._rebuild()

    def _forget_the_future(self, now: datetime) -> None:
        """Take cursors from a clock that had been far ahead back to now; slots that did fire keep their events, which stay unique.

        The loop sees it at its next turn: a slot, a reload; a start does the same.
        """
        log.warning("the clock was set back by more than a day; schedules go on from now")
        for schedule in self._live.values():
            schedule.done_until = min(schedule.done_until, now)
            self._plan(schedule)
        self._rebuild()

    def _plan(self, schedule: _Schedule) -> None:
        try:
            slot = next_slot(schedule.trigger, schedule.done_until)
        except ValueError as error:
            log.error("flow %s has a schedule that cannot be used: %s", schedule.flow.id, error)
            slot = None
        schedule.due = None if slot is None else slot + schedule.delay

    def _rebuild(self) -> None:
        """Make the heap anew from the live schedules, so that those of flows that are gone do not pile up in it."""
        idle = (schedule for schedule in self._live.values() if schedule.due is not None and not schedule.busy)
        self._heap = [
            (schedule.due, number, schedule) for number, schedule in enumerate(idle) if schedule.due is not None
        ]
        self._pushed = len(self._heap)
        heapq.heapify(self._heap)

    async def _work_off(self, schedule: _Schedule) -> None:
        """Fire what is due of one schedule, in order, and put it back into the heap."""
        async with self._at_once:
            due = due_slots(schedule.trigger, schedule.done_until, self._clock.now(), delay=schedule.delay)
            if due.missed:
                count = f"{'more than ' if due.and_more else ''}{due.missed}"
                log.warning(
                    "flow %s missed %s of its slots up to %s (catch_up: %s)",
                    *(schedule.flow.id, count, due.done_until.isoformat(), schedule.trigger.catch_up),
                )
            for slot in due.fire:
                if not await self._fire(schedule, slot):
                    return
            if due.done_until != schedule.done_until:
                schedule.done_until = due.done_until
                await self._try("a schedule's cursor is not stored", lambda: self._slots.put([schedule.mark()]))
        schedule.busy = False
        self._plan(schedule)
        if schedule.due is not None and self._live.get(schedule.key) is schedule:
            self._pushed += 1
            heapq.heappush(self._heap, (schedule.due, self._pushed, schedule))
            self._wake.set()

    async def _fire(self, schedule: _Schedule, slot: datetime) -> bool:
        """Store the slot's event with its cursor, however long it takes; False when the schedule is no longer live, or at the stop."""
        now = self._clock.now()
        event = Event(
            id=self._ids.make("ev", now),
            flow=schedule.flow.id,
            trigger=schedule.trigger.id,
            kind=EventKind.CRON,
            occurred_at=now,
            key=f"slot:{slot.isoformat()}",
            data={"scheduled_at": slot},
        )
        mark = SlotMark(schedule.flow.id, schedule.trigger.id, schedule.spec, slot)

        async def accept() -> None:
            await self._intake.accept(schedule.flow, event, mark=mark)

        stored = await self._try(
            f"the slot {slot.isoformat()} of flow {schedule.flow.id} is not stored",
            accept,
            wanted=lambda: self._live.get(schedule.key) is schedule,
        )
        if stored:
            schedule.done_until = slot
        return stored

    async def _try(
        self, what: str, act: Callable[[], Awaitable[None]], wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        return await insist(what, act, clock=self._clock, stop=self._stop, wanted=wanted)


def _cron_triggers(flow_set: FlowSet) -> list[tuple[Flow, CronTrigger]]:
    return [
        (flow, trigger)
        for flow in flow_set.flows.values()
        for trigger in flow.triggers
        if isinstance(trigger, CronTrigger)
    ]
