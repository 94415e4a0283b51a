"""Messages in a store without a flow: what tests of dispatch and of the command line start from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from conwp_bot.ids import Ids
from conwp_bot.model.delivery import DeliveryClass, OnUnknown, policy_for
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.message import Content, NewMessage
from conwp_bot.model.run import RunHeader, RunState
from conwp_bot.store.records import Evaluated, Recorded, record_batch
from conwp_bot.store.seam import Store


async def fill(
    store: Store,
    count: int,
    now: datetime,
    *,
    flow: str = "filling",
    klass: DeliveryClass = DeliveryClass.NORMAL,
    on_unknown: OnUnknown = OnUnknown.HOLD,
    expires: timedelta = timedelta(days=30),
    account: str = "default",
    text: str = "message {n}",
    recipients: Sequence[str] = (),
) -> list[str]:
    """Store one event and run with `count` pending messages; returns their ids. `{n}` in the text is the message's number."""
    ids = Ids()
    event = Event(ids.make("ev", now), flow, "manual", EventKind.MANUAL, now)
    header = RunHeader(ids.make("run", now), flow, "hash", event.id, now)
    attempts = policy_for(klass).attempts
    messages = [
        NewMessage(
            id=ids.make("msg", now),
            flow=flow,
            run=header.id,
            step="steps[0]",
            account=account,
            recipient=recipients[n % len(recipients)] if recipients else f"90555{n:07}",
            content=Content(text.format(n=n)),
            klass=klass,
            on_unknown=on_unknown,
            attempts_allowed=attempts,
            created_at=now,
            expires_at=now + expires,
        )
        for n in range(count)
    ]
    evaluated = Evaluated(RunState.DONE, None, None, messages, (), (), count, 0, now)
    await store.do(record_batch, [Recorded(event, header, evaluated)])
    return [message.id for message in messages]
