"""From what `advance` answered to what the store commits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from conwp_bot.model.delivery import State
from conwp_bot.model.message import NewMessage
from conwp_bot.model.run import RunHeader, RunProgress, RunState, TraceEntry
from conwp_bot.runs.happening import Advanced, LogLine
from conwp_bot.runs.trace import shortened, whole_trace
from conwp_bot.store.records import Evaluated

log = logging.getLogger(__name__)
flow_log = logging.getLogger("conwp_bot.flow")

EMPTY = RunProgress(stack=())
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def evaluated(advanced: Advanced, earlier: Sequence[TraceEntry], now: datetime) -> Evaluated:
    """Return the commit of what a run did; `earlier` are the entries of its trace so far."""
    return Evaluated(
        state=advanced.state,
        reason=_reason(advanced),
        progress=advanced.progress,
        messages=advanced.messages,
        rejects=advanced.rejects,
        trace=whole_trace((*earlier, *advanced.trace), advanced.progress, now),
        messages_total=advanced.progress.messages,
        rejected_total=advanced.progress.rejected,
        at=now,
    )


def broken_off(reason: str, progress: RunProgress, earlier: Sequence[TraceEntry], now: datetime) -> Evaluated:
    """Return the commit of a run that cannot go on for a reason outside of its flow: it has failed, what was committed stays."""
    entry = TraceEntry(now, "run", "failed", shortened(reason))
    return Evaluated(
        state=RunState.FAILED,
        reason=reason,
        progress=None,
        messages=(),
        rejects=(),
        trace=whole_trace((*earlier, entry), progress, now),
        messages_total=progress.messages,
        rejected_total=progress.rejected,
        at=now,
    )


def surprise(error: Exception) -> str:
    """Say that we made a mistake, without the payload that an error's own words may hold."""
    return f"an internal error ({type(error).__name__}); the log has the details"


def accounts_of(messages: Sequence[NewMessage]) -> frozenset[str]:
    """Return the accounts that have something new to send."""
    return frozenset(message.account for message in messages if message.state is State.PENDING)


def write_logs(header: RunHeader, lines: Sequence[LogLine]) -> None:
    """Write what `log` steps say; called once their chunk is committed, so that nothing is told twice without need."""
    for line in lines:
        flow_log.log(
            _LEVELS.get(line.level, logging.INFO),
            "%s",
            line.text,
            extra={"flow": header.flow, "run": header.id, "step": line.step},
        )


def _reason(advanced: Advanced) -> str | None:
    match advanced.state:
        case RunState.FAILED:
            return advanced.failure
        case RunState.STOPPED | RunState.SKIPPED:
            return advanced.trace[-1].detail or None
        case _:
            return None
