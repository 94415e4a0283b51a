"""What a run does next: the one place that decides which messages an event leads to.

A run is a stack of blocks being worked through, as JSON in its progress; one call works until the run ends, has done a chunk's
worth, or needs rows. The same calls with the same arguments give the same answer, wherever a run was cut and resumed.

When something cannot be evaluated:

- in a loop over the event's rows, that row is rejected with the reason: none of its messages, values and trace remain, and the
  run goes on with the next row;
- anywhere else the run fails with the reason. What was committed stays; of the chunk at hand only the messages of completed rows
  do. So a run that fits one chunk (500 messages) is all or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.flow import ROOT_BLOCK, Flow, ForEachStep, IfStep, LogStep, SendStep, SetStep, Step, StopStep
from conwp_bot.flows.render.kinds import describe
from conwp_bot.flows.render.settings import SETTINGS_KEY
from conwp_bot.model.event import Event
from conwp_bot.model.message import NewMessage
from conwp_bot.model.rows import Reject, Row
from conwp_bot.model.run import RunHeader, RunProgress, RunState, TraceEntry
from conwp_bot.runs.happening import Advanced, Began, Bounds, Continue, Happened, LogLine, ReadRows
from conwp_bot.runs.keep import kept
from conwp_bot.runs.scope import EventRows, run_scope
from conwp_bot.runs.sending import Sender
from conwp_bot.runs.stack import Level, Stack
from conwp_bot.runs.supply import RowSupply
from conwp_bot.runs.telling import raw_of, shown, told
from conwp_bot.runs.trace import Mark, Tracer

BOUNDS = Bounds()


def advance(
    flow: Flow,
    header: RunHeader,
    event: Event,
    progress: RunProgress,
    happened: Happened,
    *,
    now: datetime,
    new_id: Callable[[], str],
    limits: Bounds = BOUNDS,
) -> Advanced:
    """Work a run on from `progress`, and say what it made and what it needs next; never raises for what a flow or payload does.

    `now` dates messages and trace; templates see the run's start instead. `new_id` gives message ids.
    """
    try:
        work = _Work(flow, header, event, progress, now=now, new_id=new_id, limits=limits)
    except RenderFailed as error:  # the event itself cannot be shown to templates
        entry = TraceEntry(now, "flow", "failed", str(error))
        return Advanced(replace(progress, stack=()), RunState.FAILED, (), (), (entry,), (), None, failure=str(error))
    supply = RowSupply(event, happened)
    try:
        return work.go(supply, begin=isinstance(happened, Began))
    except RenderFailed as error:
        return work.fail(str(error))


class _Stop(Exception):
    """A `stop` step was reached: the way out of nested steps."""


class _Row:
    """The row being worked, and where to go back to should it be rejected."""

    __slots__ = ("depth", "logs", "made", "outputs", "row", "steps", "trace", "values")

    def __init__(self, row: Row, work: _Work) -> None:
        self.row = row
        self.depth = len(work.stack.levels)
        self.made = len(work.made)
        self.logs = len(work.logs)
        self.trace: Mark = work.tracer.mark()
        self.values = work.values.copy()
        self.outputs = work.outputs.copy()
        self.steps = 0


class _Work:
    """One call of `advance`."""

    def __init__(
        self,
        flow: Flow,
        header: RunHeader,
        event: Event,
        progress: RunProgress,
        *,
        now: datetime,
        new_id: Callable[[], str],
        limits: Bounds,
    ) -> None:
        self.flow = flow
        self.zone = flow.timezone
        self.limits = limits
        self.before = progress
        self.values: dict[str, Any] = kept(progress.values, self.zone, "vars")
        self.outputs: dict[str, Any] = kept(progress.outputs, self.zone, "steps")
        self.scope = run_scope(flow, header, event, self.values, self.outputs)
        self.stack = Stack(flow, progress.stack, self.scope)
        self.tracer = Tracer(now, progress, most=limits.trace, each=limits.trace_each)
        self.sender = Sender(flow, header, self.scope[SETTINGS_KEY].region, now=now, new_id=new_id, longest=limits.text)
        self.made: list[NewMessage] = []
        self.loose: list[int] = []  # which of `made` were made outside of rows
        self.rejects: list[Reject] = []
        self.logs: list[LogLine] = []
        self.steps = 0
        self.run_steps = progress.steps
        self.rows_taken = progress.rows
        self.row: _Row | None = None

    # ---- the machine

    def go(self, supply: RowSupply, *, begin: bool) -> Advanced:
        """Work until the end, the bounds, or a lack of rows."""
        if begin and not self._begin():
            return self._answer(RunState.SKIPPED)
        try:
            need = self._work(supply)
        except _Stop:
            return self._answer(RunState.STOPPED)
        return self._answer(RunState.DONE if need is None else RunState.RUNNING, need)

    def fail(self, reason: str) -> Advanced:
        """End the run as failed, without the messages that were made outside of rows."""
        for index in reversed(self.loose):
            del self.made[index]
        here = self.stack.here
        self.tracer.insist("flow" if here is None else _name(here), "failed", reason, self.stack.item)
        return self._answer(RunState.FAILED, failure=reason)

    def _begin(self) -> bool:
        for block in self.flow.blocks.values():
            for step in block:  # so that a count can be told although its step was never reached
                if isinstance(step, SendStep):
                    self._add_up(step.id, "messages", 0)
                elif isinstance(step, ForEachStep):
                    self._add_up(step.id, "items", 0)
        for name, value in self.flow.vars.items():
            self.values[name] = kept(value.evaluate(self.scope), self.zone, f"vars.{name}")
        gate = self.flow.when
        if gate is not None and not gate.holds(self.scope):
            self.tracer.note("flow", "skipped", f"when: {gate.source} is false")
            return False
        self.stack.enter(ROOT_BLOCK)
        return True

    def _work(self, supply: RowSupply) -> ReadRows | Continue | None:
        levels = self.stack.levels
        while levels:
            level = levels[-1]
            if level.streamed and level.at >= len(level.steps):
                self.row = None
                if (need := self._next_row(level, supply)) is not None:
                    return need
            elif self.row is None and self._enough():
                return Continue()
            elif level.at < len(level.steps):
                level.at += 1
                self._do(level.steps[level.at - 1])
            elif level.loop:
                self._next_item(level)
            else:
                self.stack.leave()
        return None

    def _enough(self) -> bool:
        return self.steps >= self.limits.steps or len(self.made) >= self.limits.messages

    def _next_item(self, level: Level) -> None:
        items = level.items or []
        self.steps += 1
        if level.index < len(items) and level.steps:
            self.stack.take(level, items[level.index], level.index + 1)
        else:
            self.stack.leave()

    def _next_row(self, level: Level, supply: RowSupply) -> ReadRows | None:
        """Begin the next usable row; leave the loop after the last one, or say which rows are needed."""
        level.current = None
        while not self._enough():
            row = supply.after(level.index)
            if row is None:
                if not supply.ends_with(level.index):
                    break
                self.stack.leave()
                return None
            self.steps += 1
            first_time = row.number > self.rows_taken
            self.rows_taken = max(self.rows_taken, row.number)
            if row.values is not None and row.reason is None:
                self.row = _Row(row, self)
                self.stack.take(level, row.values, row.number)
                self._add_up(self.stack.owner(level).id, "items", 1)
                return None
            level.index = row.number
            if first_time:  # a second loop over the rows need not tell again
                self.rejects.append(Reject(row.number, row.reason or "the row cannot be used", row.raw))
                if row.whole:
                    raise RenderFailed(row.reason or "the file cannot be used")
                self.tracer.count(_name(self.stack.owner(level)), "rejected")
        return ReadRows(level.index, self.limits.rows)

    def _do(self, step: Step) -> None:
        self.steps += 1
        row = self.row
        if row is None:
            self.run_steps += 1
            if self.run_steps > self.limits.run_steps:
                raise RenderFailed(f"the run takes more than {self.limits.run_steps:,} steps")
            self._perform(step)
            return
        try:
            row.steps += 1
            if row.steps > self.limits.row_steps:
                raise RenderFailed(f"this row takes more than {self.limits.row_steps:,} steps")
            self._perform(step)
        except RenderFailed as error:
            self._reject(row, str(error))

    def _reject(self, row: _Row, reason: str) -> None:
        """Undo what a row did, and go to the end of its loop's block."""
        self.row = None
        del self.made[row.made :], self.logs[row.logs :]
        self.tracer.back(row.trace)
        for mine, before in ((self.values, row.values), (self.outputs, row.outputs)):
            mine.clear()
            mine.update(before)
        self.stack.leave_to(row.depth)
        level = self.stack.levels[-1]
        level.at = len(level.steps)
        self.rejects.append(Reject(row.row.number, reason, raw_of(row.row)))
        self.tracer.note(_name(self.stack.owner(level)), "rejected", reason, row.row.number)

    def _answer(self, state: RunState, need: ReadRows | Continue | None = None, failure: str | None = None) -> Advanced:
        before = self.before
        progress = RunProgress(
            stack=self.stack.frames() if need is not None else (),
            values=self.values,
            outputs=self.outputs,
            messages=before.messages + len(self.made),
            rejected=before.rejected + len(self.rejects),
            steps=self.run_steps,
            rows=self.rows_taken,
            traced=self.tracer.traced,
            counted=self.tracer.counted,
        )
        return Advanced(
            progress=progress,
            state=state,
            messages=tuple(self.made),
            rejects=tuple(self.rejects),
            trace=tuple(self.tracer.entries),
            logs=tuple(self.logs),
            need=need,
            failure=failure,
        )

    # ---- the steps

    def _perform(self, step: Step) -> None:
        if step.when is not None and not step.when.holds(self.scope):
            source = step.when.source
            self._note(step, "skipped", lambda: f"when: {source} is false")
            return
        match step:
            case SendStep():
                self._send(step)
            case IfStep():
                self._choose(step)
            case SetStep():
                self._set(step)
            case ForEachStep():
                self._loop(step)
            case LogStep():
                text = step.text.render(self.scope).strip()
                self.logs.append(LogLine(_name(step), step.level, text))
                self._note(step, "logged", lambda: text)
            case StopStep():
                reason = step.reason.render(self.scope).strip() if step.reason is not None else ""
                self.tracer.insist(_name(step), "stopped", reason, self.stack.item)
                raise _Stop
            case _:
                assert_never(step)

    def _send(self, step: SendStep) -> None:
        new = self.sender.messages(step, self.scope)
        if self.row is None:
            self.loose.extend(range(len(self.made), len(self.made) + len(new)))
        elif len(self.made) - self.row.made + len(new) > self.limits.row_messages:
            raise RenderFailed(f"this row makes more than {self.limits.row_messages:,} messages")
        self.made.extend(new)
        self._note(step, "sent", lambda: told(new))
        self._add_up(step.id, "messages", len(new))

    def _choose(self, step: IfStep) -> None:
        verdict = step.condition.holds(self.scope)
        block = step.then if verdict else step.otherwise
        way, word = ("then", "true") if verdict else ("else", "false")
        self._note(step, "chose", lambda: f"{way}: {step.condition.source} is {word}")
        if block is not None:
            self.stack.enter(block)

    def _set(self, step: SetStep) -> None:
        for name, value in step.values.items():
            self.values[name] = kept(value.evaluate(self.scope), self.zone, f"{step.address}.set.{name}")
        given = {name: self.values[name] for name in step.values}
        self._note(step, "set", lambda: ", ".join(f"{name} = {shown(value)}" for name, value in given.items()))
        if step.id is not None:
            self.outputs[step.id] = given

    def _loop(self, step: ForEachStep) -> None:
        field = f"{step.address}.for_each"
        value = step.items.evaluate(self.scope)
        if isinstance(value, EventRows):
            if any(level.streamed for level in self.stack.levels):
                raise RenderFailed(
                    f"{field}: a loop around this one is walking event.rows; they cannot be walked twice at once"
                )
            self._note(step, "looped", lambda: "over the event's rows")
            self.stack.loop(step, None)
            return
        if not isinstance(value, (list, tuple, range, dict)):
            raise RenderFailed(f"{field}: {step.items.source} is {describe(value)}; a loop needs a list or a mapping")
        if len(value) > self.limits.items:
            raise RenderFailed(
                f"{field}: the list has {len(value):,} items; a loop takes at most {self.limits.items:,}"
            )
        items = [{"key": key, "value": item} for key, item in value.items()] if isinstance(value, dict) else value
        self._note(step, "looped", lambda: f"over {len(items):,} items")
        self._add_up(step.id, "items", len(items))
        self.stack.loop(step, kept(items, self.zone, field))

    def _note(self, step: Step, did: str, detail: Callable[[], str]) -> None:
        self.tracer.note(_name(step), did, detail, self.stack.item)

    def _add_up(self, step: str | None, name: str, count: int) -> None:
        """Outputs add up over a run: after a loop they tell of all its rounds."""
        if step is not None:
            self.outputs[step] = {name: self.outputs.get(step, {}).get(name, 0) + count}


def _name(step: Step) -> str:
    return step.id or step.address
