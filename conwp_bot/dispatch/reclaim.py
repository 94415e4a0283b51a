"""What a crash or a lost lease left behind: claims go back, requests that had begun become unknown, never pending by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from conwp_bot.dispatch.retry import after_doubt
from conwp_bot.model.delivery import Cause, State
from conwp_bot.store import ledger, outbox


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """How many claims went back, how many messages became unknown, how many expired, and when to look again."""

    released: int
    doubtful: int
    expired: int
    next_expiry: datetime | None


def reclaim(conn: Connection, now: datetime, holder: str | None = None) -> Reclaimed:
    """Put right what leases, requests and times left; with `holder` (at the start) whatever is not that holder's."""
    released = doubtful = 0
    for identity, state, _, on_unknown, resends in outbox.leases_over(conn, now, holder):
        if state is State.CLAIMED:
            released += outbox.move(conn, [outbox.Move(identity, Cause.RELEASE, "the claim was over")], now)
            continue
        detail = "the daemon ended before the answer came" if holder is not None else "the lease was over"
        moves = [
            outbox.Move(
                identity,
                verdict.cause,
                verdict.reason,
                not_before=verdict.not_before,
                resent=verdict.cause is Cause.RESEND,
            )
            for verdict in after_doubt(on_unknown, resends, detail, now)
        ]
        doubtful += min(1, outbox.move(conn, moves, now))
    if holder is not None:
        ledger.pull_back(conn, now)  # at a start: a walk over the ledger
    ledger.close_open(conn, None if holder is not None else now)
    expired = len(outbox.expire(conn, now))
    return Reclaimed(released, doubtful, expired, outbox.next_expiry(conn))
