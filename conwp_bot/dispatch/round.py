"""One round for one account, as a unit: look, decide, claim, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from conwp_bot.dispatch.limit import admit
from conwp_bot.dispatch.plan import BulkMode, FlowQueue, Plan, Room, plan_dispatch
from conwp_bot.model.budget import Limit, Wait
from conwp_bot.model.delivery import Cause, DeliveryClass, OverLimit
from conwp_bot.model.message import Outgoing
from conwp_bot.store import ledger, outbox

BACKLOG_CAP = 100_000
TOLD_ONLY = frozenset({"budget", "no key"})
"""Waits that are written for people; a round sees for itself whether they still hold."""

DROPS = 500


@dataclass(frozen=True, slots=True)
class RoundOrder:
    """What the lane asks of a round. `limit` is the account's usable one; `promised` are claimed requests not yet in the ledger."""

    account: str
    lease: str
    lease_until: datetime
    limit: Limit
    promised: int
    promised_by_flow: dict[str, int]
    free: int
    bulk: BulkMode
    bulk_max: int
    after: Mapping[DeliveryClass, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """One request's messages, and the limits of the flows among them that have one: asked again when the request begins."""

    messages: tuple[Outgoing, ...]
    limits: dict[str, Limit]


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What the round won, and when the next one is worth starting (None: when something happens)."""

    claimed: tuple[Claimed, ...]
    wake_at: datetime | None
    wait: Wait | None
    served: Mapping[DeliveryClass, str]
    more: bool = False
    dropped: int = 0


def dispatch_round(conn: Connection, order: RoundOrder) -> RoundResult:
    """Claim what may go now; write the reasons of what may not."""
    stored = {(w.scope, w.name): w for w in outbox.all_waits(conn)}
    parked = stored.get(("account", order.account))
    if parked is not None and parked.until > order.now and parked.because not in TOLD_ONLY:
        return RoundResult((), parked.until, Wait(parked.until, parked.because), order.after)
    heads = outbox.heads(conn, order.account, order.now)
    queues, limits = _queues(conn, order, heads, stored)
    if not queues:
        return RoundResult((), _next_due(order, heads, stored), None, order.after)
    admission = admit(
        order.limit,
        ledger.account_usage(conn, order.account, order.limit, order.now),
        because="budget",
        now=order.now,
    )
    if isinstance(admission, Wait):
        _say_wait(conn, "account", order.account, admission, stored, order.now)
        return RoundResult((), admission.until, admission, order.after)
    backlog = 0
    if order.bulk is BulkMode.UNDER_PRESSURE:
        backlog = outbox.backlog(conn, order.account, order.now, BACKLOG_CAP)
    room = Room(order.free, admission.left - order.promised, backlog, order.bulk, order.bulk_max)
    plan = plan_dispatch(queues, room, after=order.after)
    return _carry_out(conn, order, plan, heads, limits, stored)


def _queues(
    conn: Connection,
    order: RoundOrder,
    heads: list[outbox.Head],
    stored: dict[tuple[str, str], outbox.StoredWait],
) -> tuple[list[FlowQueue], dict[str, Limit]]:
    """Read the head of each flow's queue, with what its own limit leaves it."""
    limits: dict[str, Limit] = {}
    queues: list[FlowQueue] = []
    # One more than can be claimed tells that there is more.
    enough = order.free * (1 if order.bulk is BulkMode.OFF else order.bulk_max) + 1
    for head in heads:
        wait = stored.get(("flow", head.flow))
        if not head.due or (wait is not None and wait.until > order.now):
            continue
        drop = head.limit is not None and head.over_limit is OverLimit.DROP
        due = outbox.due(conn, order.account, head.klass.rank, head.flow, order.now, DROPS if drop else enough)
        allowed = frees_at = None
        if head.limit is not None:
            limits[head.flow] = head.limit
            usage = ledger.flow_usage(conn, head.flow, head.limit, order.now)
            allowed = head.limit.count - usage.used - order.promised_by_flow.get(head.flow, 0)
            frees_at = usage.frees_at or order.now + timedelta(seconds=1)
        queues.append(FlowQueue(head.flow, head.klass, tuple(due), allowed, frees_at, head.over_limit))
    return queues, limits


def _carry_out(
    conn: Connection,
    order: RoundOrder,
    plan: Plan,
    heads: list[outbox.Head],
    limits: dict[str, Limit],
    stored: dict[tuple[str, str], outbox.StoredWait],
) -> RoundResult:
    if ("account", order.account) in stored:
        outbox.clear_wait(conn, "account", order.account)
    for flow, wait in plan.flow_waits:
        _say_wait(conn, "flow", flow, wait, stored, order.now)
    drops = [
        outbox.Move(identity, Cause.CANCEL, f"over the flow's limit of {limits[flow]}") for identity, flow in plan.drops
    ]
    outbox.move(conn, drops, order.now)
    wanted = [identity for batch in plan.batches for identity in batch]
    won = {message.id: message for message in outbox.claim(conn, wanted, order.lease, order.lease_until)}
    claimed = []
    for batch in plan.batches:
        messages = tuple(won[identity] for identity in batch if identity in won)
        if messages:
            own = {message.flow: limits[message.flow] for message in messages if message.flow in limits}
            claimed.append(Claimed(messages, own))
    wake_at = min((wait.until for _, wait in plan.flow_waits), default=None)
    if not plan.more:
        later = _next_due(order, heads, stored)
        wake_at = min((instant for instant in (wake_at, later) if instant is not None), default=None)
    return RoundResult(tuple(claimed), wake_at, None, plan.served, more=plan.more, dropped=len(drops))


def _next_due(
    order: RoundOrder, heads: list[outbox.Head], stored: dict[tuple[str, str], outbox.StoredWait]
) -> datetime | None:
    """Return when something else becomes due: a message's own time, or the end of a flow's wait."""
    flow_waits = [w.until for w in stored.values() if w.scope == "flow" and w.until > order.now]
    return min([*flow_waits, *(head.next_at for head in heads if head.next_at is not None)], default=None)


def _say_wait(
    conn: Connection,
    scope: str,
    name: str,
    wait: Wait,
    stored: dict[tuple[str, str], outbox.StoredWait],
    now: datetime,
) -> None:
    """Write a wait, unless it already stands there."""
    known = stored.get((scope, name))
    if known is None or known.until != wait.until or known.because != wait.because:
        outbox.set_wait(conn, scope, name, wait.until, wait.because, None, now)
