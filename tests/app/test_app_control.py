"""What a person asks: the same answers from the daemon over its socket, from its own engine, and without a daemon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from app_kit import BROKEN, CONFIG, Site, hook, in_state, make_site, running, states, texts, until

from conwp_bot.app.asking import operations
from conwp_bot.app.control import SOCKET_NAME, RemoteOperations, connect
from conwp_bot.app.engine import DATABASE
from conwp_bot.app.lock import data_lock, is_held
from conwp_bot.app.operations import describe_flows
from conwp_bot.app.place import place_in_use
from conwp_bot.errors import AlreadyRunning, ConwpBotError
from conwp_bot.flows.flow import FlowSet
from conwp_bot.sandbox import Sandbox

FILE = """\
triggers: [{file: inbox/*.csv}]
steps: [{for_each: event.rows, as: row, steps: [{send: {to: "{{ row.to }}", text: "file {{ row.n }}"}}]}]
"""


async def remote_to(site: Site, data: str = "data/sandbox") -> RemoteOperations:
    remote = await connect(site.root / data)
    assert remote is not None
    return remote


def test_all_operations_answer_over_the_socket_as_in_process(tmp_path: Path) -> None:
    site = make_site(tmp_path, {"hook": hook(), "file": FILE, "broken": BROKEN.replace("hook", "other")})
    csv = tmp_path / "rows.csv"
    csv.write_text("to,n\n0555 123 45 67,1\n0555 123 45 68,2\nnobody,3\n")

    async def main() -> None:
        async with running(site) as daemon, await remote_to(site) as remote:
            own = daemon.operations
            assert await remote.flows() == await own.flows()
            assert await remote.info() == await own.info()
            assert (await remote.info())["web"] == daemon.web_address
            assert await remote.reload() == await own.reload() != []
            assert await remote.devices("default") == await own.devices("default") != []
            theirs = await remote.status("default")
            assert theirs.keys() == (await own.status("default")).keys()
            for asked in (remote, own):
                assert (await asked.fire("hook", payload={"n": "by hand"})).state == "done"
                assert (await asked.fire("file", file=csv)).state == "running"
                sent = await asked.send(["0555 111 22 33"], "{{ not a template }}", kind="text", media=None, account="default")  # fmt: skip
                assert sent.state == "done"
            await until(lambda: in_state(daemon, "accepted", 8))
            assert sorted(texts(daemon)) == sorted(["hook by hand", "file 1", "file 2", "{{ not a template }}"] * 2)
            assert csv.exists()  # copied, not taken

    asyncio.run(main())


def test_errors_arrive_with_their_hints(tmp_path: Path) -> None:
    site = make_site(tmp_path, {"hook": hook(), "file": FILE})

    async def told(asked: Callable[[], Awaitable[Any]]) -> tuple[str, str | None]:
        with pytest.raises(ConwpBotError) as caught:
            await asked()
        return str(caught.value), caught.value.hint

    async def main() -> None:
        async with running(site) as daemon, await remote_to(site) as remote:
            for ask in (
                lambda it: it.fire("hok"),
                lambda it: it.fire("hook", file=tmp_path / "any.csv"),
                lambda it: it.fire("file", file=tmp_path / "missing.csv"),
                lambda it: it.devices("no body&account=default"),
                lambda it: it.status("nobody"),
                lambda it: it.send(["0555 111 22 33"], "hi", kind="text", media=None, account="nobody"),
            ):
                near, far = await told(lambda: ask(daemon.operations)), await told(lambda: ask(remote))  # noqa: B023
                assert near == far
            assert (await told(lambda: remote.fire("hok"))) == ("no flow is called 'hok'", 'did you mean "hook"?')

    asyncio.run(main())


def test_a_daemon_that_is_gone_is_told_not_guessed(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site):
            remote = await remote_to(site)
        async with remote:
            with pytest.raises(ConwpBotError, match="the daemon did not answer"):
                await remote.flows()
        assert await connect(site.root / "data/sandbox") is None

    asyncio.run(main())


def test_the_socket_answers_on_a_path_that_the_kernel_finds_too_long(tmp_path: Path) -> None:
    site = make_site(tmp_path / ("long-" * 12) / ("name-" * 12))
    path = site.data / "sandbox" / SOCKET_NAME

    async def main() -> None:
        for _ in range(2):
            async with running(site) as daemon, await remote_to(site) as remote:
                assert len(str(path)) > 108
                assert await remote.info() == await daemon.operations.info()
            assert not path.exists()

    asyncio.run(main())


def test_without_a_daemon_a_command_does_it_itself_under_the_lock(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with Sandbox() as sandbox:
            site.config.write_text(CONFIG.replace("api_key", f"base_url: '{sandbox.base_url}', api_key"))
            async with operations(site.settings()) as work:
                assert work.daemon is False
                assert is_held(site.data)
                await work.fire("hook", payload={"n": "alone"})
                receipt = await sandbox.wait_for_receipt(lambda receipt: bool(receipt.messages))
                assert receipt.messages[0].text == "hook alone"
            assert not is_held(site.data)
            # What was in flight at the end of the block was waited for: nothing is doubtful.
            async with running(site, sandbox=False) as daemon:
                assert await states(daemon) == {"accepted": 1}
                async with operations(site.settings()) as work:
                    assert work.daemon is True
                    await work.fire("hook", payload={"n": "asked"})
                await until(lambda: in_state(daemon, "accepted", 2))

    asyncio.run(main())


def test_a_command_that_finds_the_lock_held_by_something_mute_says_by_whom(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        with data_lock(site.data), pytest.raises(AlreadyRunning, match="is held by process"):
            async with operations(site.settings()):
                pass

    asyncio.run(main())


def test_commands_look_where_a_daemon_is_at_work_and_else_at_the_real_data(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    keyless = Site(site.root, {})
    trial = site.data / "sandbox"

    def place(of: Site = site) -> str:
        found = place_in_use(of.settings())
        assert (found.settings.data == trial) is found.sandbox
        return "sandbox" if found.sandbox else "real"

    assert place() == "real"
    with data_lock(trial):
        assert place() == "sandbox"
        with data_lock(site.data):
            assert place() == "real"
    (trial / DATABASE).touch()
    assert place(keyless) == "sandbox"  # a trial is all there is, and nothing can be sent
    assert place() == "real"  # what was tried out at the sandbox is not for real numbers
    (site.data / DATABASE).touch()
    assert place(keyless) == "real"


LOOK_FOREVER = """
import sys
from pathlib import Path
from conwp_bot.app.lock import is_held
print("looking", flush=True)
while True:
    is_held(Path(sys.argv[1]))
"""


def test_who_looks_at_the_lock_is_not_taken_for_a_daemon(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with data_lock(data):
        pass
    with subprocess.Popen([sys.executable, "-c", LOOK_FOREVER, data], stdout=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        try:
            for _ in range(2000):
                with data_lock(data):
                    pass
        finally:
            looking.kill()


def test_a_problem_is_shown_with_the_flow_of_its_file_alone() -> None:
    problem = {"file": "flows/billing/reminder.yaml", "message": "it is wrong"}
    found = describe_flows(FlowSet(), frozenset({"reminder", "billing/reminder", "inder"}), [problem], {})
    assert {each["id"]: each["problems"] for each in found} == {
        "reminder": [],
        "billing/reminder": [problem],
        "inder": [],
    }
