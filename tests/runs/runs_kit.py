"""What the tests of runs share: flows from YAML, events, and a run driven to its end."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any
from zoneinfo import ZoneInfo

from conwp_bot.flows.compile import build_flow
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import Flow
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.message import NewMessage
from conwp_bot.model.rows import Reject, Row
from conwp_bot.model.run import RunHeader, RunProgress, RunState, TraceEntry
from conwp_bot.runs.advance import advance
from conwp_bot.runs.happening import Advanced, Began, Bounds, Happened, LogLine, ReadRows, Resumed, RowsRead
from conwp_bot.store.records import progress_from, progress_text

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
DEFAULTS = FlowDefaults(ZoneInfo("Europe/Istanbul"), "tr_TR")
TRIGGER = 'triggers: [{cron: "0 9 * * *"}]\ndelivery: {expires: 2h}\n'


def flow(text: str, name: str = "demo") -> Flow:
    """Build a flow from its steps and what stands around them; tests give its events by hand."""
    built, problems = build_flow(name, TRIGGER + dedent(text), f"flows/{name}.yaml", DEFAULTS)
    assert built is not None, [str(problem) for problem in problems]
    return built


@dataclass
class Outcome:
    state: RunState = RunState.RUNNING
    messages: list[NewMessage] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    trace: list[TraceEntry] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    calls: int = 0
    failure: str | None = None
    progress: RunProgress = field(default_factory=lambda: RunProgress(stack=()))

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(m.recipient, m.content.text) for m in self.messages]

    @property
    def did(self) -> list[tuple[str, str, str]]:
        return [(entry.step, entry.did, entry.detail) for entry in self.trace]


def event(kind: EventKind = EventKind.WEBHOOK, flow_id: str = "demo", **data: Any) -> Event:
    return Event("ev_1", flow_id, "t", kind, NOW - timedelta(seconds=5), None, data)


def header() -> RunHeader:
    return RunHeader("run_1", "demo", "h1", "ev_1", NOW)


def counter() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"msg_{next(numbers)}"


def rows_from(values: Sequence[Mapping[str, Any] | str]) -> list[Row]:
    """Rows by their values; a text stands for an unusable row with that reason."""
    return [
        Row(number, None, value, f"raw {number}")
        if isinstance(value, str)
        else Row(number, value, None, f"raw {number}")
        for number, value in enumerate(values, 1)
    ]


def steps_of(
    flow: Flow, event: Event, *, rows: Sequence[Row] = (), limits: Bounds | None = None, restart: bool = True
) -> Iterator[Advanced]:
    """Every call of `advance` until the run ends; with `restart`, each from a progress that has been through the store's JSON."""
    progress = RunProgress(stack=())
    happened: Happened = Began()
    new_id = counter()
    limits = limits or Bounds()
    while True:
        advanced = advance(flow, header(), event, progress, happened, now=NOW, new_id=new_id, limits=limits)
        yield advanced
        need = advanced.need
        if need is None:
            return
        progress = progress_from(progress_text(advanced.progress)) if restart else advanced.progress
        if isinstance(need, ReadRows):
            after = [row for row in rows if row.number > need.start]
            happened = RowsRead(need.start, after[: need.count], end=len(after) <= need.count)
        else:
            happened = Resumed()


def drive(
    flow: Flow, event: Event, *, rows: Sequence[Row] = (), limits: Bounds | None = None, restart: bool = True
) -> Outcome:
    """Work a run to its end."""
    outcome = Outcome()
    for advanced in steps_of(flow, event, rows=rows, limits=limits, restart=restart):
        outcome.calls += 1
        outcome.state = advanced.state
        outcome.messages += advanced.messages
        outcome.rejects += advanced.rejects
        outcome.trace += advanced.trace
        outcome.logs += advanced.logs
        outcome.failure = advanced.failure
        outcome.progress = advanced.progress
        assert (advanced.need is not None) == (advanced.state is RunState.RUNNING)
        assert outcome.calls < 100_000
    return outcome
