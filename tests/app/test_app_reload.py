"""Hot reload: whatever way a file is saved, what is live follows within a second, and what is broken stops nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app_kit import BROKEN, CONFIG, Site, hook, in_state, make_site, post, running, state_of, states, texts, until

from conwp_bot.app.daemon import Daemon
from conwp_bot.app.watched import watched_folders

SLOW_MACHINE = 3.0
"""The promise is a second; a busy machine that runs the tests gets three."""


async def live(daemon: Daemon, flow: str, state: str | None = "live", *, not_hash: str | None = None) -> float:
    """Wait until a flow is in a state (None: gone), and in another version than `not_hash`; returns how long it took."""

    async def as_wanted() -> bool:
        found = await state_of(daemon.operations, flow)
        if state is None or found is None:
            return found is None and state is None
        return found["state"] == state and found["hash"] != not_hash

    begun = time.monotonic()
    await until(as_wanted, SLOW_MACHINE)
    return time.monotonic() - begun


async def quiet(daemon: Daemon) -> None:
    """Wait until no look is due any more: what is seen from here on is seen because its folder is watched."""
    last = None
    while last != daemon.engine.flowbook.loaded_at:
        last = daemon.engine.flowbook.loaded_at
        await asyncio.sleep(0.25)  # events come within 200 ms


async def hash_of(daemon: Daemon, flow: str) -> str:
    found = await state_of(daemon.operations, flow)
    assert found is not None
    return str(found["hash"])


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.rename(path)


def as_vim_does(path: Path, text: str) -> None:
    path.with_name("4913").write_text("")
    path.with_name("4913").unlink()
    path.rename(path.with_name(f"{path.name}~"))
    path.write_text(text)
    path.with_name(f"{path.name}~").unlink()


def as_emacs_does(path: Path, text: str) -> None:
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("user@host.1:2")
    path.rename(path.with_name(f"{path.name}~"))
    path.write_text(text)
    lock.unlink()


@pytest.mark.parametrize("save", [in_place, by_rename, as_vim_does, as_emacs_does])
def test_a_saved_flow_is_live_within_a_second(tmp_path: Path, save: Callable[[Path, str], None]) -> None:
    site = make_site(tmp_path)
    path = site.root / "flows/hook.yaml"

    async def main() -> None:
        async with running(site) as daemon:
            await quiet(daemon)
            took = []
            for n in range(3):
                before = await hash_of(daemon, "hook")
                save(path, hook(text=f"version {n}"))
                took.append(await live(daemon, "hook", not_hash=before))
                await post(daemon.web_address, "hook")
                await until(lambda n=n: texts(daemon)[-1:] == [f"version {n} 1"])  # type: ignore[misc]
            print(f"{save.__name__}: saved to live in", ", ".join(f"{each * 1000:.0f} ms" for each in took))

    asyncio.run(main())


def test_a_flow_whose_file_is_renamed_away_and_back_is_never_gone(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    path = site.root / "flows/hook.yaml"

    async def main() -> None:
        async with running(site) as daemon:
            path.rename(path.with_suffix(".bak"))
            looking = asyncio.create_task(daemon.operations.reload())
            await asyncio.sleep(0.05)  # well within the time that an editor may take
            assert (await post(daemon.web_address, "hook")).status_code == 202
            path.with_suffix(".bak").rename(path)
            await looking
            assert (await post(daemon.web_address, "hook")).status_code == 202

    asyncio.run(main())


def test_a_broken_flow_is_told_and_its_last_good_version_goes_on_until_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "conwp_bot")
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            site.flow("hook", BROKEN)
            await live(daemon, "hook", "broken")
            found = await state_of(daemon.operations, "hook")
            assert found is not None
            [problem] = found["problems"]
            assert (problem["file"], problem["line"]) == ("flows/hook.yaml", 3)
            assert problem["hint"] == 'did you mean "send"?'
            assert "flows/hook.yaml:3:5: steps[0]: " in caplog.text
            assert (await post(daemon.web_address, "hook", "old")).status_code == 202
            await until(lambda: texts(daemon) == ["hook old"])
            site.flow("other", hook("other"))  # one that is broken is not in the way of another
            await live(daemon, "other")
            site.flow("hook", hook(text="mended"))
            await live(daemon, "hook")
            await post(daemon.web_address, "hook", 2)
            await until(lambda: texts(daemon)[-1] == "mended 2")
            assert caplog.text.count('"sned" is no step') == 1  # told once, not at every look

    asyncio.run(main())


def test_what_broke_while_no_daemon_ran_goes_on_in_its_last_good_version(tmp_path: Path) -> None:
    site = make_site(tmp_path, {"hook": hook(text="good"), "never": BROKEN.replace("hook", "never")})

    async def main() -> None:
        async with running(site) as daemon:
            never = await state_of(daemon.operations, "never")
            assert never is not None
            assert never["state"] == "off"
        site.flow("hook", BROKEN)
        for _ in range(2):  # also from one start to the next
            async with running(site) as daemon:
                await live(daemon, "hook", "broken")
                assert (await post(daemon.web_address, "hook", "later")).status_code == 202
                await until(lambda: "good later" in texts(daemon))

    asyncio.run(main())


def test_a_deleted_flow_stops_triggering_and_its_waiting_messages_are_sent(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            assert daemon.sandbox is not None
            daemon.sandbox.set_faults([{"kind": "status", "status": 429, "retry_after": 2, "times": 1}])
            for n in range(3):
                await post(daemon.web_address, "hook", n)
            await daemon.sandbox.wait_for_receipts(1)
            (site.root / "flows/hook.yaml").unlink()
            await live(daemon, "hook", None)
            assert (await post(daemon.web_address, "hook")).status_code == 404
            assert (await states(daemon)).get("accepted", 0) < 3
            await until(lambda: in_state(daemon, "accepted", 3), 15)

    asyncio.run(main())


def test_a_flows_folder_that_appears_later_is_found_and_watched(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {}, CONFIG + f"flows: {tmp_path}/elsewhere/deep/flows\n")
    (site.root / "flows").rmdir()
    folder = tmp_path / "elsewhere/deep/flows"

    async def main() -> None:
        async with running(site) as daemon:
            await _comes_and_changes(daemon, folder)
            shutil.rmtree(folder)
            folder.mkdir()  # another folder of the same name
            (folder / "back.yaml").write_text(hook("back"))
            await live(daemon, "back")
            await quiet(daemon)
            (folder / "again.yaml").write_text(hook("again"))
            await live(daemon, "again")

    asyncio.run(main())


async def _comes_and_changes(daemon: Daemon, folder: Path) -> None:
    await quiet(daemon)
    folder.mkdir(parents=True)
    (folder / "first.yaml").write_text(hook("first"))
    await live(daemon, "first")
    (folder / "team/inner").mkdir(parents=True)
    (folder / "team/inner/second.yaml").write_text(hook("second"))
    await live(daemon, "team/inner/second")
    await quiet(daemon)
    before = await hash_of(daemon, "team/inner/second")
    (folder / "team/inner/second.yaml").write_text(hook("second", "changed"))
    await live(daemon, "team/inner/second", not_hash=before)


def test_a_release_that_is_switched_by_a_link_is_followed_and_watched(tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / "releases" / release / "flows").mkdir(parents=True)
        (tmp_path / "releases" / release / "flows/hook.yaml").write_text(hook(text=release))
    current = tmp_path / "current"
    current.symlink_to("releases/one")
    site = make_site(tmp_path / "site", {}, CONFIG + "flows: linked\n")
    (site.root / "linked").symlink_to(current / "flows")

    async def main() -> None:
        async with running(site) as daemon:
            await quiet(daemon)
            before = await hash_of(daemon, "hook")
            (tmp_path / "next").symlink_to("releases/two")
            (tmp_path / "next").rename(current)
            await live(daemon, "hook", not_hash=before)
            await quiet(daemon)
            before = await hash_of(daemon, "hook")
            (tmp_path / "releases/two/flows/hook.yaml").write_text(hook(text="two, edited"))
            await live(daemon, "hook", not_hash=before)

    asyncio.run(main())


def test_a_mounted_configmap_is_followed_from_version_to_version(tmp_path: Path) -> None:
    site = make_site(tmp_path, {})
    flows = site.root / "flows"

    def mount(version: int) -> None:
        folder = flows / f"..2026_{version}"
        folder.mkdir()
        (folder / "hook.yaml").write_text(hook(text=f"version {version}"))
        (flows / "..data_tmp").symlink_to(folder.name)
        (flows / "..data_tmp").rename(flows / "..data")
        if version:
            old = flows / f"..2026_{version - 1}"
            (old / "hook.yaml").unlink()
            old.rmdir()

    mount(0)
    (flows / "hook.yaml").symlink_to("..data/hook.yaml")

    async def main() -> None:
        async with running(site) as daemon:
            assert [each["id"] for each in await daemon.operations.flows()] == ["hook"]
            for version in (1, 2):
                await quiet(daemon)
                before = await hash_of(daemon, "hook")
                mount(version)
                await live(daemon, "hook", not_hash=before)

    asyncio.run(main())


def test_a_flow_that_is_a_link_is_followed_when_its_target_is_edited(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {})
    (tmp_path / "shared").mkdir()
    target = tmp_path / "shared/a-flow.yaml"
    target.write_text(hook())
    (site.root / "flows/hook.yaml").symlink_to(target)
    (site.root / "flows/around").symlink_to(site.root / "flows")  # a folder within itself

    async def main() -> None:
        async with running(site) as daemon:
            await quiet(daemon)
            before = await hash_of(daemon, "hook")
            target.write_text(hook(text="edited"))
            await live(daemon, "hook", not_hash=before)

    asyncio.run(main())


def test_the_data_folder_is_not_watched_even_within_the_flows_folder(tmp_path: Path) -> None:
    site = make_site(tmp_path, {}, CONFIG + "flows: .\n")
    (site.data / "files/ev_1").mkdir(parents=True)
    watched = watched_folders(site.settings())
    assert site.root in watched
    assert not [folder for folder in watched if folder.is_relative_to(site.data)]


def changed(site: Site, old: str, new: str) -> None:
    text = site.config.read_text()
    assert old in text
    by_rename(site.config, text.replace(old, new))


def test_what_of_the_config_can_change_is_live_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "conwp_bot")
    site = make_site(tmp_path, config=CONFIG + "log: {level: info}\nretention: 30d\n")

    async def main() -> None:
        async with running(site) as daemon:

            def setting(name: str) -> Any:
                return getattr(daemon.engine.settings.accounts["default"], name)

            client = daemon.engine.accounts["default"].client
            before = await hash_of(daemon, "hook")
            changed(site, "100000/hour", "77/minute")
            await until(lambda: str(setting("limit")) == "77/minute", SLOW_MACHINE)
            assert daemon.engine.accounts["default"].client is client  # connections are kept where they can be
            changed(site, "retention: 30d", "retention: 9d")
            await until(lambda: daemon.engine.settings.retention.days == 9, SLOW_MACHINE)
            changed(site, "level: info", "level: debug")
            await until(lambda: logging.getLogger().level == logging.DEBUG, SLOW_MACHINE)
            changed(site, "Europe/Istanbul", "Europe/Berlin")
            await live(daemon, "hook", not_hash=before)
            found = await state_of(daemon.operations, "hook")
            assert found is not None
            assert found["timezone"] == "Europe/Berlin"
            changed(site, "${CONWP_API_KEY}", "another-key")
            await until(lambda: daemon.engine.retired, SLOW_MACHINE)
            await post(daemon.web_address, "hook")
            assert daemon.sandbox is not None
            receipt = await daemon.sandbox.wait_for_receipt(lambda receipt: bool(receipt.messages))
            assert receipt.key == "another-key"
            assert "a-test-key" not in caplog.text

    asyncio.run(main())


def test_what_of_the_config_needs_a_restart_is_said_and_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(tmp_path, config=CONFIG + "data: data\n")

    async def main() -> None:
        async with running(site) as daemon:
            data = daemon.engine.settings.data
            changed(site, "data: data", "data: elsewhere\nflows: others")
            await until(lambda: "needs a restart: data, flows" in caplog.text, SLOW_MACHINE)
            changed(site, "100000/hour", "99/hour")
            await until(lambda: str(daemon.engine.settings.accounts["default"].limit) == "99/hour", SLOW_MACHINE)
            assert daemon.engine.settings.data == data
            assert caplog.text.count("needs a restart") == 1
            before = await hash_of(daemon, "hook")  # the flows folder of the start is still the one that is watched
            site.flow("hook", hook(text="still here"))
            await live(daemon, "hook", not_hash=before)

    asyncio.run(main())


def test_a_broken_config_is_told_and_the_old_one_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            changed(site, "limit:", "limmit:")
            await until(lambda: "still running with the last good one" in caplog.text, SLOW_MACHINE)
            assert "config.yaml:3:" in caplog.text
            problems = await daemon.operations.reload()
            assert [problem["hint"] for problem in problems] == ['did you mean "limit"?']
            assert (await post(daemon.web_address, "hook")).status_code == 202
            await until(lambda: in_state(daemon, "accepted"))
            changed(site, "limmit:", "limit:")
            await until(lambda: _no_problems(daemon), SLOW_MACHINE)

    async def _no_problems(daemon: Daemon) -> bool:
        return await daemon.operations.reload() == []

    asyncio.run(main())


def test_messages_of_an_account_that_leaves_the_config_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = CONFIG + "  shop: {api_key: the-shops-key}\n"
    site = make_site(tmp_path, {"two": hook("two") + "delivery: {account: shop}\n"}, config)

    async def main() -> None:
        async with running(site) as daemon:
            changed(site, "  shop: {api_key: the-shops-key}\n", "")
            await until(lambda: "account shop is gone" in caplog.text, SLOW_MACHINE)
            await live(daemon, "two", "broken")
            await post(daemon.web_address, "two")
            assert await states(daemon) == {"pending": 1}
            by_rename(site.config, config)
            await until(lambda: in_state(daemon, "accepted"))

    asyncio.run(main())


def test_a_reload_on_request_parks_no_account_whose_key_file_changed(tmp_path: Path) -> None:
    config = "accounts:\n  default: {api_key: 'file:key', limit: 100000/hour}\n"
    site = make_site(tmp_path, config=config)
    (site.root / "key").write_text("refused-key\n")
    (site.root / "key").chmod(0o600)

    async def main() -> None:
        async with running(site) as daemon:
            assert daemon.sandbox is not None
            daemon.sandbox.set_faults([{"kind": "status", "status": 401, "key": "refused-key"}])
            await post(daemon.web_address, "hook")
            await daemon.sandbox.wait_for_receipts(1)
            await until(lambda: in_state(daemon, "pending"))
            (site.root / "key").write_text("good-key\n")
            daemon.reloader.hint_all()
            await until(lambda: in_state(daemon, "accepted"))

    asyncio.run(main())


def test_a_look_that_fails_is_not_the_last_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            flows = site.root / "flows"
            flows.rename(site.root / "away")
            os.mkfifo(flows)  # not a folder at all
            await until(lambda: "flows" in caplog.text, SLOW_MACHINE)
            assert (await post(daemon.web_address, "hook")).status_code == 202
            flows.unlink()
            (site.root / "away").rename(flows)
            site.flow("new", hook("new"))
            await live(daemon, "new")

    asyncio.run(main())
