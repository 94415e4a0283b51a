"""What templates and expressions of a run see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from conwp_bot.flows.flow import Flow, Scope
from conwp_bot.flows.region import region_of_locale
from conwp_bot.flows.render.settings import SETTINGS_KEY, RenderContext
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.run import RunHeader
from conwp_bot.runs.keep import kept


class EventRows:
    """The event's rows, as `event.rows` gives them: they stream, so all that can be done with them is `for_each: event.rows`."""

    __slots__ = ()
    described_as = "a stream of rows (walk it with for_each: event.rows)"  # for the render environment's refusals

    def __repr__(self) -> str:
        return "the event's rows"


def rows_of(event: Event) -> list[Mapping[str, Any]] | None:
    """Return the rows that an event brings along: a list of mappings, as somebody fires a flow for files by hand."""
    payload = event.data.get("payload")
    if event.kind is EventKind.MANUAL and isinstance(payload, list) and all(isinstance(row, dict) for row in payload):
        return payload
    return None


def event_scope(flow: Flow, event: Event) -> dict[str, Any]:
    """Return what stands under `event`; its times, and those of `event.file`, are in the flow's zone. A payload stays as it came.

    A flow fired by hand sees its time as `scheduled_at`, so that a flow for a schedule can be tried.
    """
    seen: dict[str, Any] = {"id": event.id, "kind": event.kind.value, "trigger": event.trigger}
    seen["occurred_at"] = event.occurred_at.astimezone(flow.timezone)
    if event.kind is EventKind.MANUAL:
        seen["scheduled_at"] = seen["occurred_at"]
    for name, value in event.data.items():
        seen[name] = (
            kept(value, flow.timezone, f"event.{name}") if name == "file" or isinstance(value, datetime) else value
        )
    if event.kind is EventKind.FILE or rows_of(event) is not None:
        seen["rows"] = EventRows()
    return seen


def run_scope(
    flow: Flow, header: RunHeader, event: Event, values: dict[str, Any], outputs: dict[str, Any]
) -> dict[str, Any]:
    """Return the names that every step of a run sees; `values` and `outputs` are shown as they change.

    `now()` is when the run started, however long it takes: what a run says does not depend on when it was interrupted.
    """
    return {
        SETTINGS_KEY: render_context(flow, header.started_at),
        "event": event_scope(flow, event),
        "vars": values,
        "steps": outputs,
        "flow": {"id": flow.id, "description": flow.description},
        "run": {"id": header.id, "started_at": header.started_at.astimezone(flow.timezone)},
    }


def key_scope(flow: Flow, event: Event) -> Scope:
    """Return what a webhook's `key` sees: the event and the flow's vars; raises RenderFailed when a var cannot be evaluated."""
    values: dict[str, Any] = {}
    scope = {
        SETTINGS_KEY: render_context(flow, event.occurred_at),
        "event": event_scope(flow, event),
        "vars": values,
        "flow": {"id": flow.id, "description": flow.description},
    }
    for name, value in flow.vars.items():
        values[name] = kept(value.evaluate(scope), flow.timezone, f"vars.{name}")
    return scope


def render_context(flow: Flow, now: datetime) -> RenderContext:
    """Return what filters need to know in this flow, at this instant."""
    return RenderContext(flow.locale, flow.timezone, now, region_of_locale(flow.locale))
