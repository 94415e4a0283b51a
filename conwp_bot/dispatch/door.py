"""The one way to the API: reserve spend and mark in flight (one transaction), request, record.

Nothing else uses the API client, so no request escapes the budget; `devices` and `status` pass here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.engine import Connection

from conwp_bot.api.client import ConwpClient
from conwp_bot.api.outcome import Answer, Got
from conwp_bot.clock import Clock
from conwp_bot.dispatch.limit import admit, usable
from conwp_bot.dispatch.retry import AccountWait, Verdict, account_wait, verdicts
from conwp_bot.dispatch.round import Claimed
from conwp_bot.errors import ConwpBotError, StoreBroken, StoreBusy
from conwp_bot.ids import Ids
from conwp_bot.model.account import AccountStatus, Device
from conwp_bot.model.budget import Admit, Limit, Wait
from conwp_bot.model.delivery import Cause, DeliveryClass
from conwp_bot.model.outcome import Failed, Outcome, outcome_name
from conwp_bot.settings import AccountSettings
from conwp_bot.store import ledger, outbox
from conwp_bot.store.seam import Store

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=120)
"""How long after our deadline the provider may still be working on a request that we gave up."""

RECORD_AGAIN = timedelta(seconds=1)
LATE = {Cause.ACCEPT: Cause.SETTLE_SENT, Cause.NOT_SENT: Cause.SETTLE_NOT_SENT}
"""What an answer is to a message that was called unknown before it came (the machine slept): evidence."""
MONITOR = "monitor"
"""The class that `devices` and `status` requests are booked under."""

T = TypeVar("T")


class NotAdmitted(ConwpBotError):
    """The request was not begun: the budget, a flow's limit, a lease that is over, or a shutdown. No byte was written."""

    def __init__(self, message: str, wait: Wait | None = None, flow: str | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        self.flow = flow


class _LeaseLost(Exception):
    """Raised inside the reserving transaction, to undo it."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the door uses it; without a key there is no client, and its lane waits."""

    settings: AccountSettings
    client: ConwpClient | None


class Door:
    """Sends claimed messages and asks the API's other questions; every request leaves a row in the ledger before its first byte."""

    def __init__(
        self,
        store: Store,
        accounts: Mapping[str, Account],
        *,
        clock: Clock,
        ids: Ids,
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._accounts = dict(accounts)
        self._clock = clock
        self._ids = ids
        self._jitter = jitter
        self._frozen: dict[str, int] = {}
        self._left_alone: dict[str, Wait] = {}
        self.stopping = False

    def set_accounts(self, accounts: Mapping[str, Account]) -> None:
        """Use other settings for the requests that begin from now on."""
        self._accounts = dict(accounts)

    def probing(self, account: str) -> bool:
        """Say whether the account's last answer was a 429, 401 or 403: then one request tries, not several."""
        return account in self._frozen

    def forget_trouble(self, account: str) -> None:
        """Its key or address was changed: what the old one was answered says nothing of the new one."""
        self._frozen.pop(account, None)
        self._left_alone.pop(account, None)

    async def put_back(self, claimed: Claimed, reason: str) -> None:
        """Give back claimed messages that were not begun."""
        await self._release(claimed, NotAdmitted(reason))

    async def send(
        self,
        claimed: Claimed,
        *,
        on_begun: Callable[[], None] = lambda: None,
        on_answered: Callable[[], None] = lambda: None,
    ) -> Outcome | None:
        """Take claimed messages to the API and record what came of it; None when the request was not begun.

        `on_begun` is called once the request stands in the ledger, `on_answered` when the road is free again; returns once the
        outcome is durable.
        """
        messages = claimed.messages
        account = self._accounts[messages[0].account]
        if account.client is None:
            await self._release(claimed, NotAdmitted(f"account {account.settings.name} has no API key"))
            return None
        request = self._ids.make("req", self._clock.now())
        endpoint = "send-message" if len(messages) == 1 else "send-bulk-message"
        klass = min((message.klass for message in messages), key=lambda klass: klass.rank)
        begun = False

        async def begin() -> None:
            nonlocal begun
            await self._begin(account, request, endpoint, klass, claimed)
            begun = True
            on_begun()

        try:
            if len(messages) == 1:
                outcome = await account.client.send_message(messages[0], before_first_byte=begin)
            else:
                outcome = await account.client.send_bulk(messages, before_first_byte=begin)
        except NotAdmitted as refusal:
            await self._release(claimed, refusal)
            return None
        except (StoreBroken, StoreBusy) as error:
            # Refused by the store before the first byte: not for the lease to bring back, minutes later.
            await self._release(claimed, NotAdmitted(str(error)))
            return None
        waits = self._learn(account.settings, outcome)
        on_answered()
        if not begun:
            # Nobody was reached: the claim is given back, with the backoff of a fault of the road.
            await self._give_back(claimed, outcome)
            return outcome
        await self._record(account, request, claimed, outcome, waits)
        return outcome

    async def devices(self, account: str) -> Answer[tuple[Device, ...]]:
        """Ask which phones stand behind an account; raises NotAdmitted when the budget does not allow it."""
        return await self._ask(account, "devices", lambda client, begin: client.devices(before_first_byte=begin))

    async def status(self, account: str) -> Answer[AccountStatus]:
        """Ask for ConWP's own books on an account; raises NotAdmitted when the budget does not allow it."""
        return await self._ask(account, "status", lambda client, begin: client.status(before_first_byte=begin))

    # ---- begin

    async def _begin(
        self, account: Account, request: str, endpoint: str, klass: DeliveryClass, claimed: Claimed
    ) -> None:
        """Commit the budget's slot, the attempts and the marks; raises NotAdmitted, and then nothing is written anywhere."""
        if self.stopping:
            raise NotAdmitted("the daemon is stopping")
        now = self._clock.now()
        alone = self._left_alone.get(account.settings.name)
        if alone is not None and alone.until > now:
            # Claimed before the answer came that says to leave the account alone.
            raise NotAdmitted(alone.because, alone)
        reservation = ledger.Reservation(
            id=request,
            account=account.settings.name,
            endpoint=endpoint,
            klass=klass.value,
            reserved_at=now,
            latest_end=now + account.settings.timeout + GRACE,
            messages=tuple((message.id, message.flow) for message in claimed.messages),
        )
        try:
            refusal = await self._store.do(
                reserve_unit, reservation, usable(account.settings.limit), claimed, claimed.messages[0].lease
            )
        except _LeaseLost:
            raise NotAdmitted("the claim was over, or the message expired") from None
        if refusal is not None:
            raise refusal

    async def _ask(
        self,
        name: str,
        endpoint: str,
        call: Callable[[ConwpClient, Callable[[], Awaitable[None]]], Awaitable[Answer[T]]],
    ) -> Answer[T]:
        account = self._accounts.get(name)
        if account is None:
            raise NotAdmitted(f"no account is called {name!r}")
        if account.client is None:
            raise NotAdmitted(f"account {name!r} has no API key: {account.settings.key_source} gives nothing")
        request = self._ids.make("req", self._clock.now())
        begun = False

        async def begin() -> None:
            nonlocal begun
            now = self._clock.now()
            reservation = ledger.Reservation(
                request, name, endpoint, MONITOR, now, now + account.settings.timeout + GRACE
            )
            refusal = await self._store.do(reserve_unit, reservation, usable(account.settings.limit), None, "")
            if refusal is not None:
                raise refusal
            begun = True

        answer = await call(account.client, begin)
        if begun:
            outcome, detail = ("accepted", "") if isinstance(answer, Got) else (outcome_name(answer), answer.detail)
            ended = self._clock.now() + (GRACE if outcome == "unknown" else timedelta(0))
            await self._store.do(ledger.finish, request, ended, outcome, detail)
        return answer

    # ---- afterwards

    async def _release(self, claimed: Claimed, refusal: NotAdmitted) -> None:
        wait = refusal.wait
        moves = [
            outbox.Move(
                message.id,
                Cause.RELEASE,
                wait.because if wait else str(refusal),
                not_before=wait.until if wait and refusal.flow == message.flow else None,
            )
            for message in claimed.messages
        ]
        await self._durably(release_unit, moves, self._clock.now(), claimed.messages[0].lease)

    async def _give_back(self, claimed: Claimed, outcome: Outcome) -> None:
        now = self._clock.now()
        if not isinstance(outcome, Failed):
            raise AssertionError(f"a request that was not begun cannot be {outcome_name(outcome)}")
        moves = [
            _as_move(message.id, verdict, Cause.RELEASE)
            for message, [verdict] in zip(
                claimed.messages, verdicts(claimed.messages, outcome, now=now, jitter=self._jitter()), strict=True
            )
        ]
        log.warning("not sent, will be tried again: %s", outcome.detail, extra={"account": claimed.messages[0].account})
        await self._durably(outbox.move, moves, now, lease=claimed.messages[0].lease)

    def _learn(self, asked: AccountSettings, outcome: Outcome) -> AccountWait | None:
        """Remember at once what an outcome says of the account; what is claimed already must not go on knocking."""
        name, now = asked.name, self._clock.now()
        account = self._accounts.get(name)
        if account is None or (account.settings.api_key, account.settings.base_url) != (asked.api_key, asked.base_url):
            return None  # what the old key was answered says nothing of the new one
        frozen, alone = self._frozen.get(name, 0), self._left_alone.get(name)
        # It began beside the one that was refused first: no second refusal, and no sign that the trouble is over.
        beside = alone is not None and alone.until > now
        waits = account_wait(outcome, now=now, frozen_before=max(0, frozen - beside))
        if waits is None:
            if not beside and not (isinstance(outcome, Failed) and not outcome.began):
                self.forget_trouble(name)
            return None
        if beside and alone is not None and waits.until <= alone.until:
            return None
        self._frozen[name] = frozen + (not beside)
        self._left_alone[name] = Wait(waits.until, waits.because)
        log.warning(
            "account is left alone until %s: %s",
            waits.until.isoformat(timespec="seconds"),
            waits.detail,
            extra={"account": name},
        )
        return waits

    async def _record(
        self, account: Account, request: str, claimed: Claimed, outcome: Outcome, waits: AccountWait | None
    ) -> None:
        now = self._clock.now()
        name = account.settings.name
        ended = now
        if outcome_name(outcome) == "unknown":
            # The provider may still be at work on it: it counts as ended when it surely has.
            ended = now + GRACE
        moves = [
            _as_move(message.id, verdict)
            for message, chain in zip(
                claimed.messages,
                verdicts(claimed.messages, outcome, now=now, jitter=self._jitter()),
                strict=True,
            )
            for verdict in chain
        ]
        await self._durably(record_unit, request, name, ended, outcome_name(outcome), outcome.detail, moves, waits, now)
        for message in claimed.messages:
            log.info(
                outcome_name(outcome),
                extra={
                    "flow": message.flow,
                    "run": message.run,
                    "message_id": message.id,
                    "recipient": message.recipient.masked,
                    "request": request,
                    "detail": outcome.detail,
                },
            )

    async def _durably(self, unit: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Write what came of a request, however long the database takes to be able to: nothing else may be sent meanwhile."""
        while True:
            try:
                await self._store.do(unit, *args, **kwargs)
                return
            except (StoreBroken, StoreBusy) as error:
                log.error("what came of a request cannot be recorded, trying again: %s", error)
                await self._clock.wait(asyncio.Event(), self._clock.now() + RECORD_AGAIN)


def reserve_unit(
    conn: Connection,
    reservation: ledger.Reservation,
    limit: Limit,
    claimed: Claimed | None,
    lease: str,
) -> NotAdmitted | None:
    """Ask the limits and, if they allow it, write the request and mark its messages in flight; one transaction.

    Returns the refusal, with nothing written; raises _LeaseLost when a message is not ours to send any more.
    """
    now = reservation.reserved_at
    verdict = admit(limit, ledger.account_usage(conn, reservation.account, limit, now), because="budget", now=now)
    if isinstance(verdict, Wait):
        return NotAdmitted("budget", verdict)
    for flow, own in claimed.limits.items() if claimed else ():
        asked = sum(1 for message in claimed.messages if message.flow == flow) if claimed else 0
        usage = ledger.flow_usage(conn, flow, own, now)
        if usage.used + asked > own.count:
            refusal = admit(own, usage, because="flow limit", now=now)
            wait = Wait(now + timedelta(seconds=1), "flow limit") if isinstance(refusal, Admit) else refusal
            return NotAdmitted("flow limit", wait, flow)
    ledger.reserve(conn, reservation)
    if claimed:
        ids = [message.id for message in claimed.messages]
        if outbox.mark_in_flight(conn, ids, lease, reservation.id, reservation.latest_end, now) != len(ids):
            raise _LeaseLost
    return None


def release_unit(conn: Connection, moves: list[outbox.Move], now: datetime, lease: str) -> None:
    """Give claims back; one that may have been refused because its time is over ends here, or it would be claimed again at once."""
    outbox.move(conn, moves, now, lease=lease)
    outbox.expire(conn, now)


def record_unit(
    conn: Connection,
    request: str,
    account: str,
    ended: datetime,
    outcome: str,
    detail: str,
    moves: list[outbox.Move],
    waits: AccountWait | None,
    now: datetime,
) -> None:
    """Write the end of a request, its messages' moves, and the account's wait; one transaction."""
    ledger.finish(conn, request, ended, outcome, detail)
    for change in moves:
        # Only what this request did: by now its message may be on its way a second time.
        if outbox.move(conn, [change], now, request=request):
            continue
        late = LATE.get(change.cause)
        if late is not None:
            outbox.move(conn, [replace(change, cause=late)], now, request=request)
    if waits is not None:
        outbox.set_wait(conn, "account", account, waits.until, waits.because, waits.detail, now)


def _as_move(message: str, verdict: Verdict, cause: Cause | None = None) -> outbox.Move:
    return outbox.Move(
        message,
        cause or verdict.cause,
        verdict.reason,
        not_before=verdict.not_before,
        tries=verdict.tries,
        faults=verdict.faults,
        resent=verdict.cause is Cause.RESEND,
        provider_id=verdict.provider_id,
    )
