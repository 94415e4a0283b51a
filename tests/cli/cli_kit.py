"""What the command line's tests share: folders, stores filled through the real units, and real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner
from sqlalchemy.engine import Connection

from conwp_bot.cli.main import cli
from conwp_bot.model.delivery import Cause, DeliveryClass, OnUnknown, State
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.message import Content, NewMessage
from conwp_bot.model.rows import Reject
from conwp_bot.model.run import RunHeader, RunState, TraceEntry
from conwp_bot.store import ledger, outbox
from conwp_bot.store.migrate import migrate_sqlite
from conwp_bot.store.records import Evaluated, Recorded, record_batch
from conwp_bot.store.sqlite import make_engine

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)  # 12:30 in Istanbul
NUMBER = "905551234567"

CONFIG = "accounts:\n  default: {api_key: '${CONWP_API_KEY}'}\n"
HELLO = """\
triggers: [{webhook: hello, scheme: none}]
steps:
  - send: {to: 0555 123 45 67, text: 'Hello {{ event.payload.name if event.payload else "world" }}'}
"""


def message(
    number: int,
    *,
    flow: str = "hello",
    run: str = "run_1",
    at: datetime = NOW,
    text: str = "hi",
    recipient: str = NUMBER,
    state: State = State.PENDING,
    reason: str | None = None,
) -> NewMessage:
    return NewMessage(
        id=f"msg_{number:04}",
        flow=flow,
        run=run,
        step="steps[0]",
        account="default",
        recipient=recipient,
        content=Content(text),
        klass=DeliveryClass.NORMAL,
        on_unknown=OnUnknown.HOLD,
        attempts_allowed=8,
        created_at=at,
        expires_at=at + timedelta(hours=24),
        state=state,
        reason=reason,
    )


def record(
    conn: Connection,
    messages: Sequence[NewMessage],
    *,
    run: str = "run_1",
    flow: str = "hello",
    state: RunState = RunState.DONE,
    reason: str | None = None,
    rejects: Sequence[Reject] = (),
    at: datetime = NOW,
) -> None:
    event = Event(
        run.replace("run", "ev"), flow, "hook", EventKind.WEBHOOK, at, None, {"payload": {"name": "Ayşe\n\x1b[31m"}}
    )
    trace = [TraceEntry(at, "steps[0]", "sent", "to 9055******67")]
    evaluated = Evaluated(state, reason, None, list(messages), list(rejects), trace, len(messages), len(rejects), at)
    record_batch(conn, [Recorded(event, RunHeader(run, flow, "hash", event.id, at), evaluated)])


def request(
    conn: Connection,
    number: int,
    ids: Sequence[str],
    *,
    at: datetime,
    outcome: str | None = "accepted",
    flow: str = "hello",
) -> None:
    """Take messages through a whole request, as the door does; outcome None leaves it in flight."""
    identity = f"req_{number:04}"
    outbox.claim(conn, ids, "me", at + timedelta(minutes=5))
    ledger.reserve(
        conn,
        ledger.Reservation(
            identity,
            "default",
            "send-message",
            "normal",
            at,
            at + timedelta(minutes=3),
            tuple((each, flow) for each in ids),
        ),
    )
    outbox.mark_in_flight(conn, ids, "me", identity, at, at)
    if outcome is None:
        return
    ledger.finish(conn, identity, at, outcome, "" if outcome == "accepted" else "it said no")
    cause = {"accepted": Cause.ACCEPT, "invalid": Cause.REJECT}.get(outcome, Cause.NOT_SENT)
    outbox.move(
        conn,
        [
            outbox.Move(each, cause, None if outcome == "accepted" else "it said no", provider_id=f"p{each}")
            for each in ids
        ],
        at,
    )


class Filled:
    """A database in a data folder; `with filled.writing() as conn` commits at the end."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.path = data / "conwp-bot.db"
        migrate_sqlite(self.path)
        self.engine = make_engine(self.path)

    def close(self) -> None:
        self.engine.dispose()


def folder(path: Path, flows: dict[str, str] | None = None, config: str = CONFIG) -> Path:
    """Make a folder with a config and flows; returns the config file."""
    (path / "flows").mkdir(parents=True, exist_ok=True)
    for name, text in ({"hello.yaml": HELLO} if flows is None else flows).items():
        (path / "flows" / name).write_text(text, encoding="utf-8")
    (path / "config.yaml").write_text(config, encoding="utf-8")
    return path / "config.yaml"


def quick(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Do as `call` does, but within this process, which has the libraries imported already."""
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("CONWP", "LC_", "LANG"))}
    words = ["--config", str(cwd / "config.yaml"), *arguments]
    result = CliRunner().invoke(cli, words, input=stdin, env={**clean, **(env or {})})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def call(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m conwp_bot` for real, without the variables of this process that it reads."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CONWP", "LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, "-m", "conwp_bot", *arguments],
        cwd=cwd,
        env={**clean, "PYTHONUTF8": "1", **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
