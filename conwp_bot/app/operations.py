"""The operations on an engine of this process: the daemon's own, and those of a command that works without one."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from conwp_bot import __version__
from conwp_bot.api.outcome import Got
from conwp_bot.app.answers import Fired, FlowStatus
from conwp_bot.app.engine import Engine
from conwp_bot.app.manual import direct_flow, find_flow, manual_event
from conwp_bot.errors import ConwpBotError
from conwp_bot.flows.flow import CronTrigger, FileTrigger, FlowSet, Trigger, WebhookTrigger
from conwp_bot.model.outcome import outcome_name
from conwp_bot.model.problem import Problem
from conwp_bot.store.records import load_run
from conwp_bot.triggers.schedule import next_slot


class EngineOperations:
    """Operations on an engine of this process; `extra` adds what only a daemon knows."""

    def __init__(
        self,
        engine: Engine,
        *,
        daemon: bool,
        next_slots: Callable[[], Mapping[tuple[str, str], datetime]] | None = None,
        reload: Callable[[], Awaitable[Sequence[Problem]]] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.daemon = daemon
        self._engine = engine
        self._next_slots = next_slots
        self._reload = reload
        self._started_at = engine.clock.now()
        self._extra = dict(extra or {})

    async def flows(self) -> list[FlowStatus]:
        book = self._engine.flowbook
        slots = self._next_slots() if self._next_slots else _slots(book.flow_set, self._engine.clock.now())
        return describe_flows(book.flow_set, book.broken, [p.as_json() for p in book.problems], slots)

    async def fire(self, flow: str, *, payload: Any = None, file: Path | None = None) -> Fired:
        found = find_flow(self._engine.flowbook.flow_set, self._engine.flowbook.broken, flow)
        try:
            event = await manual_event(self._engine, found, payload=payload, file=file)
        except OSError as error:
            # Over the control socket it is the daemon that reads the file: it may be another user, who may not.
            raise ConwpBotError(f"{file} cannot be copied: {error.strerror or error}") from error
        return await self._accept(found, event)

    async def send(self, to: list[str], text: str, *, kind: str, media: str | None, account: str) -> Fired:
        if account not in self._engine.settings.accounts:
            known = ", ".join(sorted(self._engine.settings.accounts))
            raise ConwpBotError(f"no account is called {account!r} (accounts: {known})")
        flow = direct_flow(kind=kind, media=media is not None, account=account, settings=self._engine.settings)
        payload = {"to": ", ".join(to), "text": text, "media": media}
        return await self._accept(flow, await manual_event(self._engine, flow, payload=payload, file=None))

    async def devices(self, account: str) -> list[dict[str, Any]]:
        answer = await self._engine.door.devices(account)
        if not isinstance(answer, Got):
            raise ConwpBotError(f"ConWP's answer is {outcome_name(answer)}: {answer.detail}")
        return [{**asdict(device), "ready": device.ready} for device in answer.value]

    async def status(self, account: str) -> dict[str, Any]:
        answer = await self._engine.door.status(account)
        if not isinstance(answer, Got):
            raise ConwpBotError(f"ConWP's answer is {outcome_name(answer)}: {answer.detail}")
        return asdict(answer.value)

    async def reload(self) -> list[dict[str, Any]]:
        of_config: Sequence[Problem] = ()
        if self._reload is not None:
            of_config = await self._reload()
        else:
            await self._engine.flowbook.reload()
        return [problem.as_json() for problem in (*of_config, *self._engine.flowbook.problems)]

    async def info(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "version": __version__,
            "started_at": self._started_at.isoformat(),
            "daemon": self.daemon,
            **self._extra,
        }

    async def _accept(self, flow: Any, event: Any) -> Fired:
        receipt = await self._engine.intake.accept(flow, event)
        assert receipt.run is not None  # a manual event has no key, so it is never a repeat
        stored = await self._engine.store.read(load_run, receipt.run)
        assert stored is not None
        reason = (
            stored.trace[-1].detail if stored.trace and stored.state.value in ("failed", "stopped", "skipped") else None
        )
        return Fired(receipt.event, receipt.run, stored.state.value, reason)


def describe_flows(
    flow_set: FlowSet,
    broken: frozenset[str],
    problems: list[dict[str, Any]],
    slots: Mapping[tuple[str, str], datetime],
) -> list[FlowStatus]:
    """Return what `flows` shows of each flow: the live ones, those that run in their last good version, and those that are off."""
    described = []
    identities = sorted(flow_set.flows.keys() | broken)
    owned: dict[str, list[dict[str, Any]]] = {}
    for problem in problems:
        owned.setdefault(_owner(problem["file"], identities), []).append(problem)
    for identity in identities:
        flow = flow_set.flows.get(identity)
        own = owned.get(identity, [])
        described.append(
            {
                "id": identity,
                "state": "off" if flow is None else "broken" if identity in broken else "live",
                "file": flow.file if flow else (own[0]["file"] if own else None),
                "description": flow.description if flow else "",
                "hash": flow.hash if flow else None,
                "timezone": flow.timezone.key if flow else None,
                "class": flow.delivery.klass.value if flow else None,
                "account": flow.delivery.account if flow else None,
                "limit": str(flow.delivery.limit) if flow and flow.delivery.limit else None,
                "triggers": [_describe(identity, trigger, slots) for trigger in flow.triggers] if flow else [],
                "problems": own,
            }
        )
    return described


def _owner(file: str, identities: Sequence[str]) -> str:
    """Return the flow whose file this is: `flows/billing/reminder.yaml` is that of billing/reminder, not that of reminder."""
    stem = f"/{file.rsplit('.', 1)[0]}"
    return max((identity for identity in identities if stem.endswith(f"/{identity}")), key=len, default="")


def _slots(flow_set: FlowSet, now: datetime) -> dict[tuple[str, str], datetime]:
    found = {}
    for flow in flow_set.flows.values():
        for trigger in flow.triggers:
            if isinstance(trigger, CronTrigger) and (slot := next_slot(trigger, now)) is not None:
                found[flow.id, trigger.id] = slot
    return found


def _describe(flow: str, trigger: Trigger, slots: Mapping[tuple[str, str], datetime]) -> dict[str, Any]:
    match trigger:
        case CronTrigger():
            kind, spec = "cron", f"{trigger.expression} ({trigger.timezone.key})"
        case WebhookTrigger():
            kind, spec = "webhook", f"/hooks/{trigger.name}"
        case FileTrigger():
            kind, spec = "file", trigger.pattern
    slot = slots.get((flow, trigger.id))
    return {"id": trigger.id, "kind": kind, "spec": spec, "next": slot.isoformat() if slot else None}
