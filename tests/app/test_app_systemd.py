"""What systemd is told and when, and the unit that it is given."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from app_kit import get, in_state, make_site, post, process, running, until

from conwp_bot.app.service import service_files, unit_text
from conwp_bot.app.systemd import Notifier

DEPLOYED = Path(__file__).parents[2] / "deploy/conwp-bot.service"


class Manager:
    """systemd's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.05)
        self._closing = False
        self.heard: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def close(self) -> None:
        self._closing = True
        self._reader.join()
        self._socket.close()

    def said(self, word: str) -> list[str]:
        """Return the messages so far that have this line in them."""
        return [message for message in list(self.heard) if word in message.split("\n")]

    def _read(self) -> None:
        while not self._closing:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                continue


@contextmanager
def manager(address: str) -> Iterator[Manager]:
    listening = Manager(address)
    try:
        yield listening
    finally:
        listening.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_is_said_when_triggers_are_live_and_stopping_when_it_stops(tmp_path: Path, abstract: bool) -> None:
    site = make_site(tmp_path)
    address = f"@conwp-bot-test-{os.getpid()}" if abstract else str(tmp_path / "notify")

    async def main() -> None:
        with manager(address) as systemd:
            async with running(site, environ={"NOTIFY_SOCKET": address}) as daemon:
                [ready] = await until(lambda: systemd.said("READY=1"))
                assert "STATUS=1 flows live, 0 broken" in ready
                assert (await get(daemon.web_address)).status_code == 200
                assert not systemd.said("STOPPING=1")
            assert len(systemd.said("STOPPING=1")) == 1
            assert not systemd.said("WATCHDOG=1")  # nobody asked for it

    asyncio.run(main())


def test_a_process_tells_of_a_reload_with_its_time_and_that_it_is_ready_again(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    address = str(tmp_path / "notify")

    async def main() -> None:
        with manager(address) as systemd, process(site, env={"NOTIFY_SOCKET": address}) as daemon:
            await until(lambda: systemd.said("READY=1"), 30)
            daemon.popen.send_signal(signal.SIGHUP)
            [reloading] = await until(lambda: systemd.said("RELOADING=1"))
            found = re.search(r"^MONOTONIC_USEC=(\d+)$", reloading, re.MULTILINE)
            assert found is not None
            uptime = float(Path("/proc/uptime").read_text().split()[0])
            assert abs(int(found[1]) / 1e6 - uptime) < 60
            await until(lambda: len(systemd.said("READY=1")) == 2)
            assert await daemon.stop() == 0
            assert systemd.said("STOPPING=1")

    asyncio.run(main())


def test_the_watchdog_hears_of_us_in_half_its_time_also_while_a_stop_waits(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    address = str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())}

    async def main() -> None:
        with manager(address) as systemd:
            async with running(site, environ=environ) as daemon:
                assert daemon.sandbox is not None
                begun = asyncio.get_running_loop().time()
                await until(lambda: len(systemd.said("WATCHDOG=1")) >= 5)
                assert asyncio.get_running_loop().time() - begun > 0.3  # not more often than is any use
                daemon.sandbox.set_faults([{"kind": "latency", "seconds": 1}])
                await post(daemon.web_address, "hook")
                await until(lambda: in_state(daemon, "in_flight"))
            stopping = next(n for n, message in enumerate(systemd.heard) if "STOPPING=1" in message)
            assert systemd.heard[stopping:].count("WATCHDOG=1") >= 5

    asyncio.run(main())


def test_the_watchdog_is_silent_when_the_store_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(tmp_path)
    address = str(tmp_path / "notify")
    release = threading.Event()

    def missed() -> int:
        return caplog.text.count("the database does not answer")

    async def main() -> None:
        with manager(address) as systemd:
            async with running(site, environ={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}) as daemon:
                await until(lambda: systemd.said("WATCHDOG=1"))
                holding = asyncio.create_task(daemon.engine.store.do(lambda _conn: release.wait()))
                try:
                    await until(lambda: missed() >= 2)
                    before = len(systemd.said("WATCHDOG=1"))
                    await until(lambda: missed() >= 5)
                    assert len(systemd.said("WATCHDOG=1")) == before
                finally:
                    release.set()
                await holding
                await until(lambda: len(systemd.said("WATCHDOG=1")) > before)

    asyncio.run(main())


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    asked = {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier(asked).watchdog == timedelta(seconds=30)
    assert Notifier({**asked, "WATCHDOG_PID": "1"}).watchdog is None
    assert Notifier({**asked, "WATCHDOG_USEC": "soon"}).watchdog is None
    assert Notifier({}).watchdog is None


def test_a_manager_that_is_gone_or_does_not_read_stops_nothing(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("all is well")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(1000):  # more than its queue holds
            notifier.alive()


def hardening(text: str) -> set[str]:
    lines = {line for line in text.splitlines() if re.match(r"[A-Z]\w+=", line)}
    return {line for line in lines if line.split("=")[0] not in PLACES}


PLACES = {
    "After",
    "DynamicUser",
    "EnvironmentFile",
    "ExecStart",
    "Group",
    "LoadCredential",
    "ProtectHome",
    "ReadWritePaths",
    "StateDirectory",
    "StateDirectoryMode",
    "SupplementaryGroups",
    "User",
    "WorkingDirectory",
}


def test_the_unit_that_is_written_and_the_one_that_is_deployed_are_hardened_alike(tmp_path: Path) -> None:
    written = unit_text(make_site(tmp_path).settings(), user=False, drop_folders=[])
    assert hardening(written) == hardening(DEPLOYED.read_text())


def test_homes_are_hidden_from_a_daemon_that_does_not_live_in_one(tmp_path: Path) -> None:
    settings = make_site(tmp_path).settings()
    assert "ProtectHome=read-only" in unit_text(settings, user=False, drop_folders=[Path("/home/shop/inbox")])
    elsewhere = not any(Path(sys.prefix).resolve().is_relative_to(home) for home in ("/home", "/root", "/run/user"))
    elsewhere = elsewhere and not Path(sys.executable).resolve().is_relative_to("/root")
    assert ("ProtectHome=yes" in unit_text(settings, user=False, drop_folders=[])) is elsewhere
    assert "ProtectHome=yes" in DEPLOYED.read_text()


def test_the_unit_of_a_user_asks_for_nothing_that_only_root_may_give(tmp_path: Path) -> None:
    files = service_files(make_site(tmp_path).settings(), user=True)
    assert files.path == Path.home() / ".config/systemd/user/conwp-bot.service"
    for word in ("User=", "CapabilityBoundingSet", "ProtectSystem", "PrivateUsers", "multi-user.target"):
        assert word not in files.text


def test_paths_with_blanks_percent_and_quotes_are_written_as_systemd_reads_them(tmp_path: Path) -> None:
    site = make_site(tmp_path / 'a 100% "$HOME"')
    text = unit_text(site.settings(), user=False, drop_folders=[site.root / "in box"])
    root = str(tmp_path)
    assert f'--config "{root}/a 100%% \\"$$HOME\\"/config.yaml" run' in text
    assert f'WorkingDirectory={root}/a 100%% "$HOME"\n' in text
    assert f"ReadWritePaths='{root}/a 100%% \"$HOME\"/in box'\n" in text


def test_the_unit_gives_a_stop_the_time_of_the_slowest_request(tmp_path: Path) -> None:
    settings = make_site(tmp_path).settings()
    slow = replace(settings.accounts["default"], timeout=timedelta(minutes=5))
    text = unit_text(replace(settings, accounts={"default": slow}), user=False, drop_folders=[])
    found = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= 330
    assert "TimeoutStopSec=150" in unit_text(settings, user=False, drop_folders=[])
