"""Firing by hand: the flow that is meant, its event, and what it would send."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from conwp_bot.app.engine import Engine, flow_defaults
from conwp_bot.clock import SystemClock
from conwp_bot.errors import ConwpBotError
from conwp_bot.flows.compile import build_flow
from conwp_bot.flows.flow import FileTrigger, Flow, FlowSet
from conwp_bot.flows.load import FlowLoader
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.message import NewMessage
from conwp_bot.model.problem import near_miss
from conwp_bot.model.rows import Reject
from conwp_bot.model.run import RunHeader, RunProgress, RunState, TraceEntry
from conwp_bot.runs.advance import advance
from conwp_bot.runs.happening import Began, Bounds, Happened, ReadRows, Resumed, RowsRead
from conwp_bot.settings import Settings
from conwp_bot.triggers.file_event import copy_in, file_event_data, origin_of
from conwp_bot.triggers.tables import TableSpec, read_table

DIRECT = "_send"
"""The flow that messages of `conwp-bot send` are counted under; a name that no file can have."""

DRY_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a flow would do: nothing of it is stored."""

    state: RunState
    reason: str | None
    messages: tuple[NewMessage, ...]
    rejects: tuple[Reject, ...]
    trace: tuple[TraceEntry, ...]
    truncated: bool


def find_flow(flow_set: FlowSet, broken: frozenset[str], name: str) -> Flow:
    """Return the flow of that id; raises ConwpBotError with a near miss."""
    flow = flow_set.flows.get(name)
    if flow is not None:
        return flow
    if name in broken:
        raise ConwpBotError(f"flow {name!r} has problems", hint="`conwp-bot check` shows them")
    known = ", ".join(sorted(flow_set.flows)[:10]) or "none"
    raise ConwpBotError(f"no flow is called {name!r}", hint=near_miss(name, flow_set.flows) or f"flows: {known}")


async def manual_event(engine: Engine, flow: Flow, *, payload: Any, file: Path | None) -> Event:
    """Make the event of firing a flow by hand; a file is copied into the data folder and is then a dropped file like any other."""
    now = engine.clock.now()
    identity = engine.ids.make("ev", now)
    if file is None:
        return _payload_event(identity, flow, payload, now)
    trigger = _file_trigger(flow)
    data = await asyncio.to_thread(copy_in, engine.settings.data, file, flow, trigger, identity, now)
    return Event(identity, flow.id, trigger.id, EventKind.FILE, now, None, data)


def direct_flow(*, kind: str, media: bool, account: str, settings: Settings) -> Flow:
    """Return the flow of a single message; the words of the command line come in as its payload, taken as they are."""
    send: dict[str, Any] = {"to": "{{ event.payload.to }}", "text": "{{ event.payload.text }}"}
    if kind != "text":
        send["type"] = kind
    if media:
        send["media"] = "{{ event.payload.media }}"
    source = yaml.safe_dump({"steps": [{"send": send}], "delivery": {"account": account}})
    flow, problems = build_flow(DIRECT, source, "(conwp-bot send)", flow_defaults(settings))
    if flow is None:
        raise ConwpBotError("; ".join(problem.message for problem in problems))
    return flow


async def dry_run(settings: Settings, name: str, *, payload: Any = None, file: Path | None = None) -> DryRun:
    """Evaluate a flow as it stands in its file, storing and sending nothing; a file is read where it lies."""
    loader = FlowLoader(settings.flows, flow_defaults(settings), root=settings.root)
    loaded = await asyncio.to_thread(loader.load)
    flow = find_flow(loaded.flow_set, loaded.broken, name)
    return await asyncio.to_thread(_evaluate, flow, payload, file)


def _evaluate(flow: Flow, payload: Any, file: Path | None) -> DryRun:
    now = SystemClock().now()
    ids = Ids()
    identity = ids.make("ev", now)
    rows = None
    if file is None:
        event = _payload_event(identity, flow, payload, now)
    else:
        trigger = _file_trigger(flow)
        data = file_event_data(flow, trigger, identity, origin_of(flow, trigger, file), file, now)
        event = Event(identity, flow.id, trigger.id, EventKind.FILE, now, None, data)
        rows = read_table(file, TableSpec.of(data["table"]))
    header = RunHeader(ids.make("run", now), flow.id, flow.hash, identity, now)
    progress = RunProgress(stack=())
    happened: Happened = Began()
    messages: list[NewMessage] = []
    rejects: list[Reject] = []
    trace: list[TraceEntry] = []
    while True:
        advanced = advance(
            flow,
            header,
            event,
            progress,
            happened,
            now=now,
            new_id=lambda: ids.make("msg", now),
            limits=Bounds(),
        )
        messages += advanced.messages
        rejects += advanced.rejects
        trace += advanced.trace
        progress = advanced.progress
        if advanced.need is None or len(messages) > DRY_MESSAGES:
            break
        happened = Resumed()
        if isinstance(advanced.need, ReadRows):
            found = tuple(row for row, _ in zip(rows or (), range(advanced.need.count), strict=False))
            happened = RowsRead(advanced.need.start, found, end=len(found) < advanced.need.count)
    return DryRun(
        advanced.state,
        advanced.failure,
        tuple(messages[:DRY_MESSAGES]),
        tuple(rejects),
        tuple(trace),
        truncated=advanced.need is not None,
    )


def _payload_event(identity: str, flow: Flow, payload: Any, now: datetime) -> Event:
    return Event(
        identity, flow.id, "manual", EventKind.MANUAL, now, None, {"payload": payload, "headers": {}, "query": {}}
    )


def _file_trigger(flow: Flow) -> FileTrigger:
    for trigger in flow.triggers:
        if isinstance(trigger, FileTrigger):
            return trigger
    raise ConwpBotError(f"flow {flow.id!r} has no file trigger", hint="give it its data as JSON instead")
