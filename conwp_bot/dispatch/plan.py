"""Which messages go now, together or alone, and why the others wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from conwp_bot.model.budget import Wait
from conwp_bot.model.delivery import DeliveryClass, OverLimit
from conwp_bot.model.message import Candidate


class BulkMode(StrEnum):
    """When messages share a request; the same words as the config's."""

    UNDER_PRESSURE = "under_pressure"
    ALWAYS = "always"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class FlowQueue:
    """One flow's due messages of one class, longest waiting first.

    `allowed` is what its own limit leaves it now (None: no limit), `frees_at` when it leaves more.
    """

    flow: str
    klass: DeliveryClass
    due: tuple[Candidate, ...]
    allowed: int | None = None
    frees_at: datetime | None = None
    over_limit: OverLimit = OverLimit.WAIT


@dataclass(frozen=True, slots=True)
class Room:
    """How much may begin now: `requests` free slots in flight, of which `budget` are paid for; `backlog` messages are due in all."""

    requests: int
    budget: int
    backlog: int
    bulk: BulkMode = BulkMode.OFF
    bulk_max: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `batches` of message ids, a request each; `drops` (id, flow) are over their flow's limit; `flow_waits` say who waits."""

    batches: tuple[tuple[str, ...], ...] = ()
    drops: tuple[tuple[str, str], ...] = ()
    flow_waits: tuple[tuple[str, Wait], ...] = ()
    served: Mapping[DeliveryClass, str] = field(default_factory=dict)
    more: bool = field(default=False)


def plan_dispatch(queues: Sequence[FlowQueue], room: Room, *, after: Mapping[DeliveryClass, str]) -> Plan:
    """Fill the room: classes in order of their rank, and within a class one message per flow in turn.

    The turn of each class begins behind `after`, its flow that was served last, so that no flow is starved by its neighbours' names or
    by alerts between; `served` is handed back for the next round. `more` says that due messages were left for want of room.
    """
    waits: list[tuple[str, Wait]] = []
    drops: list[tuple[str, str]] = []
    turns: dict[DeliveryClass, deque[deque[Candidate]]] = {klass: deque() for klass in DeliveryClass}
    allowances: dict[str, int] = {}
    for queue in _in_turn(queues, after):
        allowed = queue.allowed
        if allowed is not None:
            allowances.setdefault(queue.flow, max(0, allowed))
            if len(queue.due) > allowed:
                if queue.over_limit is OverLimit.DROP:
                    drops += [(candidate.id, queue.flow) for candidate in queue.due[max(0, allowed) :]]
                elif allowed <= 0 and queue.frees_at is not None:
                    waits.append((queue.flow, Wait(queue.frees_at, "flow limit")))
        if queue.due and (allowed is None or allowed > 0):
            turns[queue.klass].append(deque(queue.due))
    requests = max(0, min(room.requests, room.budget))
    size = _bulk_size(room)
    batches: list[tuple[str, ...]] = []
    served = dict(after)
    for klass in sorted(turns, key=lambda klass: klass.rank):
        ring = turns[klass]
        # An alert goes alone: a single answer is exact, and it waits for nobody.
        together = 1 if klass is DeliveryClass.ALERT else size
        while ring and len(batches) < requests:
            batch, last = _next_batch(ring, together, allowances)
            if batch and last is not None:
                batches.append(batch)
                served[klass] = last
    return Plan(tuple(batches), tuple(drops), tuple(waits), served, more=any(turns.values()))


def _in_turn(queues: Sequence[FlowQueue], after: Mapping[DeliveryClass, str]) -> list[FlowQueue]:
    """Order queues by flow, each class beginning with the first behind its `after`."""
    return sorted(queues, key=lambda queue: (queue.flow <= after.get(queue.klass, ""), queue.flow))


def _bulk_size(room: Room) -> int:
    """Return how many messages share a request: one each while the budget suffices for the whole backlog."""
    match room.bulk:
        case BulkMode.OFF:
            return 1
        case BulkMode.ALWAYS:
            return max(1, room.bulk_max)
        case BulkMode.UNDER_PRESSURE:
            if room.backlog <= room.budget:
                return 1
            # As few to a request as drains the backlog within the budget that is left.
            return min(room.bulk_max, -(-room.backlog // max(1, room.budget)))


def _next_batch(
    ring: deque[deque[Candidate]], together: int, allowances: dict[str, int]
) -> tuple[tuple[str, ...], str | None]:
    """Take the next request's messages, one flow after the other; a recipient stands in a batch once."""
    picked: list[Candidate] = []
    recipients: set[str] = set()
    passes = len(ring)
    while ring and len(picked) < together and passes > 0:
        queue = ring.popleft()
        candidate = queue[0]
        left = allowances.get(candidate.flow)
        if left is not None and left <= 0:
            continue  # its limit is reached within this round: its queue leaves the ring
        fits = not picked or (not candidate.alone and not picked[0].alone and candidate.recipient not in recipients)
        if not fits:
            ring.append(queue)
            passes -= 1
            continue
        queue.popleft()
        picked.append(candidate)
        recipients.add(candidate.recipient)
        if left is not None:
            allowances[candidate.flow] = left - 1
        if queue:
            ring.append(queue)
        passes = len(ring)
    return tuple(candidate.id for candidate in picked), picked[-1].flow if picked else None
