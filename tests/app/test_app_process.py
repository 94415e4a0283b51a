"""The daemon as a process: signals, exit codes, and what it tells on its way."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
from pathlib import Path

import httpx
from app_kit import BROKEN, make_site, post, process, spawned, until

from conwp_bot.app.control import SOCKET_NAME, connect

KEY_FILE = "accounts:\n  default: {api_key: 'file:key', limit: 100000/hour}\n"


async def faults(sandbox: str, *rules: dict[str, object]) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(f"{sandbox}/_sandbox/faults", json=list(rules))).raise_for_status()


async def receipts(sandbox: str) -> list[dict[str, object]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        found: list[dict[str, object]] = (await client.get(f"{sandbox}/_sandbox/receipts")).json()
        return found


def states(data: Path) -> dict[str, int]:
    connection = sqlite3.connect(f"file:{data}/conwp-bot.db?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT state, count(*) FROM messages GROUP BY state").fetchall())
    finally:
        connection.close()


def test_sigterm_finishes_the_request_in_flight_and_exits_with_0(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        with process(site) as daemon:
            info = await daemon.info()
            assert info["pid"] == daemon.popen.pid
            await faults(info["sandbox"], {"kind": "latency", "seconds": 1})
            assert (await post(info["web"], "hook")).status_code == 202
            await until(lambda: states(daemon.data) == {"in_flight": 1})
            assert await daemon.stop() == 0
            assert states(daemon.data) == {"accepted": 1}
            assert not (daemon.data / SOCKET_NAME).exists()
            assert '"message":"stopped"' in daemon.said()

    asyncio.run(main())


def test_sighup_reads_keys_anew_so_that_a_parked_account_goes_on_and_sigint_ends_it(tmp_path: Path) -> None:
    site = make_site(tmp_path, config=KEY_FILE)
    key = site.root / "key"
    key.write_text("refused-key")
    key.chmod(0o600)

    async def main() -> None:
        with process(site) as daemon:
            info = await daemon.info()
            await faults(info["sandbox"], {"kind": "status", "status": 401, "key": "refused-key"})
            await post(info["web"], "hook")
            await until(lambda: "left alone until" in daemon.said())
            key.write_text("good-key")
            daemon.popen.send_signal(signal.SIGHUP)
            await until(lambda: states(daemon.data) == {"accepted": 1})
            assert [receipt["key"] for receipt in await receipts(info["sandbox"])][-1] == "good-key"
            assert await daemon.stop(signal.SIGINT) == 0
            assert "refused-key" not in daemon.said()

    asyncio.run(main())


def test_a_second_daemon_exits_with_78_and_the_pid_of_the_first(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        with process(site) as first:
            await first.info()
            with process(site) as second:
                assert await second.end() == 78
                assert f"process {first.popen.pid}" in second.said()
                assert "Traceback" not in second.said()
            assert (await first.info())["pid"] == first.popen.pid

    asyncio.run(main())


def test_after_a_kill_the_next_daemon_takes_lock_and_socket_over(tmp_path: Path) -> None:
    # A path so long that the kernel takes it only through the folder's descriptor.
    site = make_site(tmp_path / ("long-" * 12) / ("name-" * 12))

    async def main() -> None:
        with process(site) as daemon:
            info = await daemon.info()
            assert len(str(daemon.data / SOCKET_NAME)) > 108
            mode = (daemon.data / SOCKET_NAME).stat().st_mode
            assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
            await faults(info["sandbox"], {"kind": "hang"})
            await post(info["web"], "hook")
            await until(lambda: states(daemon.data) == {"in_flight": 1})
            assert await daemon.stop(signal.SIGKILL) == -signal.SIGKILL
            assert (daemon.data / SOCKET_NAME).exists()
            assert await connect(daemon.data) is None
        with process(site) as daemon:
            assert (await daemon.info())["pid"] == daemon.popen.pid
            await until(lambda: states(daemon.data) == {"held": 1})  # never pending again: it may have gone out
            assert await daemon.stop() == 0
            assert not (daemon.data / SOCKET_NAME).exists()

    asyncio.run(main())


def test_a_config_with_problems_ends_with_1_and_tells_all_of_them(tmp_path: Path) -> None:
    site = make_site(tmp_path, config="timezone: Europe/Istanbull\nweb: {lisen: 127.0.0.1:0}\n")
    with spawned(site, "run") as daemon:
        assert daemon.popen.wait(30) == 1
        assert "config.yaml:1:11: timezone" in daemon.said()
        assert "config.yaml:2:7: web" in daemon.said()
        assert 'did you mean "listen"?' in daemon.said()


def test_a_daemon_starts_with_broken_flows_and_a_data_folder_of_its_owners_alone(tmp_path: Path) -> None:
    site = make_site(tmp_path, {"hook": BROKEN})
    old = os.umask(0o022)
    try:
        with process(site) as daemon:
            assert asyncio.run(daemon.info())["daemon"] is True
            assert "flows/hook.yaml:3:5" in daemon.said()
            assert [stat.S_IMODE(path.stat().st_mode) for path in (site.data, daemon.data)] == [0o700, 0o700]
    finally:
        os.umask(old)
