"""All sources of events, built and held together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from conwp_bot.clock import Clock
from conwp_bot.flows.flow import FlowSet
from conwp_bot.ids import Ids
from conwp_bot.triggers.cron import CronSource
from conwp_bot.triggers.file import FileSource
from conwp_bot.triggers.intake import Intake, KeyScope, Known, Resolve, SlotStore
from conwp_bot.triggers.webhook import WebhookReceiver


class Sources:
    """The sources of the live flow set. A kind of trigger has one line in each method here."""

    def __init__(
        self,
        intake: Intake,
        *,
        root: Path,
        data: Path,
        slots: SlotStore,
        known: Known,
        resolve: Resolve,
        key_scope: KeyScope,
        clock: Clock,
        ids: Ids,
    ) -> None:
        """File patterns are relative to `root`; taken files are kept in `data`."""
        self._cron = CronSource(intake, slots, clock, ids)
        self._files = FileSource(intake, known, clock, ids, root=root, data=data)
        self.hooks = WebhookReceiver(intake, clock, ids, resolve, key_scope)

    async def set_flows(self, flow_set: FlowSet) -> None:
        """Let this flow set be the live one; webhooks are there at once, schedules and files at their next turn."""
        self.hooks.set_flows(flow_set)
        self._cron.set_flows(flow_set)
        self._files.set_flows(flow_set)

    async def start(self) -> None:
        """Begin with schedules and files, for the flow set that was given. Raises StoreBroken, OSError."""
        await self._cron.start()
        await self._files.start()

    async def stop(self) -> None:
        """Begin no more events; those being stored are waited for."""
        await self._files.stop()
        await self._cron.stop()

    def next_slots(self) -> Mapping[tuple[str, str], datetime]:
        """Say when each live schedule fires next, by flow and trigger."""
        return self._cron.next_slots()
