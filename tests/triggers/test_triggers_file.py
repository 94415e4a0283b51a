"""Dropped files, with real folders and a real watch: taken once and whole, through crashes, and kept when their run has ended."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from triggers_kit import RememberedIntake, flow, flow_set

from conwp_bot.clock import Clock, SystemClock
from conwp_bot.errors import StoreBroken, StoreClosed
from conwp_bot.flows.flow import AfterFile, ColumnType, FileTrigger, FlowSet
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event
from conwp_bot.model.rows import Reject
from conwp_bot.testing.clock import MovedClock
from conwp_bot.triggers import taking
from conwp_bot.triggers.file import FileSource
from conwp_bot.triggers.file_event import copy_in
from conwp_bot.triggers.folders import DropPattern, drop_folder
from conwp_bot.triggers.keeper import FileKeeper
from conwp_bot.triggers.tables import TableReader

AT_ONCE = FileTrigger("file", "inbox/*.csv", settle=timedelta(0), columns={"tel": ColumnType.PHONE})
OLD = time.time() - 3600
CSV = "tel;ad\n05321234567;Ayşe\nx;y\n"


def put(path: Path, content: str = CSV, *, age: float = 3600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@asynccontextmanager
async def running(
    root: Path, intake: RememberedIntake, flows: FlowSet, clock: Clock | None = None
) -> AsyncIterator[FileSource]:
    source = FileSource(intake, intake.known, clock or SystemClock(), Ids(), root=root, data=root / "data")
    source.set_flows(flows)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def until(happened: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.005)


def test_a_file_that_was_there_and_one_that_is_dropped_become_events(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        put(tmp_path / "inbox/before.csv")
        put(tmp_path / "inbox/other.txt")
        async with running(tmp_path, intake, flow_set(flow("bills", AT_ONCE))):
            await until(lambda: len(intake.events) == 1)
            # Where a moved file comes from does not matter: it is there whole at once.
            put(tmp_path / "elsewhere.csv").rename(tmp_path / "inbox/after.csv")
            await until(lambda: len(intake.events) == 2)
        first = intake.events[0]
        assert (first.kind, first.flow, first.trigger) == ("file", "bills", "file")
        assert first.data["file"]["name"] == "before.csv"
        assert first.data["file"]["path"] == "inbox/before.csv"
        assert first.data["file"]["size"] == len(CSV.encode())
        assert first.data["taken"] == f"files/{first.id}/before.csv"
        assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["other.txt"]
        found = list(TableReader(tmp_path / "data").rows(first, 0))
        assert found[0].values == {"tel": "+905321234567", "ad": "Ayşe"}
        assert found[1].reason is not None

    asyncio.run(go())


def test_a_missing_drop_folder_is_made_and_watched_also_when_it_is_made_anew(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        async with running(tmp_path, intake, flow_set(flow("bills", AT_ONCE))) as source:
            await until((tmp_path / "inbox").is_dir)
            (tmp_path / "inbox").rmdir()
            source.set_flows(flow_set(flow("bills", AT_ONCE)))
            await until((tmp_path / "inbox").is_dir)
            await asyncio.sleep(0)
            put(tmp_path / "inbox/a.csv")
            source.set_flows(flow_set(flow("bills", AT_ONCE)))
            await until(lambda: len(intake.events) == 1)

    asyncio.run(go())


def test_a_file_that_still_changes_is_left_alone_until_it_has_settled(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        clock = MovedClock(datetime.now(UTC))
        path = put(tmp_path / "inbox/slow.csv", "tel\n", age=0)
        settle = timedelta(seconds=20)
        async with running(tmp_path, intake, flow_set(flow("bills", replace(AT_ONCE, settle=settle))), clock):
            await until(lambda: clock.next_deadline is not None)
            clock.advance(timedelta(seconds=15))
            with path.open("a") as file:
                file.write("05321234567\n")
            os.utime(path, (clock.now().timestamp(), clock.now().timestamp()))
            clock.advance(timedelta(seconds=10))
            await until(lambda: clock.next_deadline is not None)
            assert intake.events == []
            while not intake.events:
                clock.advance(timedelta(seconds=5))
                await asyncio.sleep(0.01)
        assert intake.events[0].data["file"]["size"] == 16

    asyncio.run(go())


def test_a_time_of_change_in_the_future_settles_by_being_watched(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        clock = MovedClock(datetime.now(UTC))
        put(tmp_path / "inbox/future.csv", age=-86400)
        async with running(tmp_path, intake, flow_set(flow("b", replace(AT_ONCE, settle=timedelta(seconds=5)))), clock):
            await until(lambda: clock.next_deadline is not None)
            assert intake.events == []
            clock.advance(timedelta(seconds=5))
            await until(lambda: len(intake.events) == 1)

    asyncio.run(go())


def test_only_finished_regular_files_inside_their_folder_are_taken(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        inbox = tmp_path / "inbox"
        for name in (".hidden.csv", "a.csv.part", "b.csv~", "c.tmp", "~$d.csv", ".~lock.e.csv#", "f.csv.crdownload"):
            put(inbox / name)
        secret = put(tmp_path / "secret.csv")
        (inbox / "link.csv").symlink_to(secret)
        os.mkfifo(inbox / "pipe.csv")
        (inbox / "folder.csv").mkdir()
        put(inbox / "bad\nname.csv")
        put(tmp_path / "outside/x.csv")
        (inbox / "linked").symlink_to(tmp_path / "outside")
        anything = FileTrigger("file", "inbox/*", settle=timedelta(0))
        deeper = FileTrigger("deeper", "inbox/*/*.csv", settle=timedelta(0))
        put(inbox / "good.csv")
        put(inbox / "folder.csv/inner.csv")
        async with running(tmp_path, intake, flow_set(flow("f", anything, deeper))):
            await until(lambda: len(intake.events) == 2)
        assert {event.data["file"]["path"] for event in intake.events} == {
            "inbox/good.csv",
            "inbox/folder.csv/inner.csv",
        }
        assert secret.exists()
        assert (tmp_path / "outside/x.csv").exists()

    asyncio.run(go())


@pytest.mark.parametrize("pattern", ["../x.csv", "inbox/../../x.csv", "inbox/**/x.csv", "inbox/", ""])
def test_a_pattern_cannot_leave_its_folder(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValueError):
        DropPattern.parse(pattern, tmp_path)


def test_the_drop_folder_is_the_literal_part_of_a_pattern(tmp_path: Path) -> None:
    assert drop_folder("inbox/*.csv", tmp_path) == tmp_path / "inbox"
    assert drop_folder("in/shop-*/2026/*.csv", tmp_path) == tmp_path / "in"
    assert drop_folder("*.csv", tmp_path) == tmp_path
    assert drop_folder("/srv/drop/*.csv", tmp_path) == Path("/srv/drop")


def test_where_taken_files_are_kept_is_no_drop_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        kept = put(tmp_path / "data/archive/x/a.csv")
        async with running(
            tmp_path, intake, flow_set(flow("f", FileTrigger("file", "data/archive/x/*", settle=timedelta(0))))
        ):
            await until(lambda: "where taken files are kept" in caplog.text)
        assert kept.exists()

    asyncio.run(go())


def test_a_file_that_comes_again_is_another_event(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        flows = flow_set(flow("bills", AT_ONCE))
        put(tmp_path / "inbox/a.csv")
        async with running(tmp_path, intake, flows):
            await until(lambda: len(intake.events) == 1)
            # The very same file, as somebody moves it back out of the archive.
            archived = FileKeeper(tmp_path / "data").finish(intake.events[0], [], ok=True)
            assert archived is not None
            archived.rename(tmp_path / "inbox/a.csv")
            await until(lambda: len(intake.events) == 2)
        assert intake.events[0].key != intake.events[1].key

    asyncio.run(go())


def test_a_busy_store_keeps_the_file_until_it_is_stored(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        intake.busy = 3
        clock = MovedClock(datetime.now(UTC))
        put(tmp_path / "inbox/a.csv")
        async with running(tmp_path, intake, flow_set(flow("bills", AT_ONCE)), clock):
            while not intake.events:
                clock.advance(timedelta(seconds=5))
                await asyncio.sleep(0.005)
        assert intake.tries == 4

    asyncio.run(go())


def test_a_file_that_a_full_disk_kept_from_being_stored_is_stored_when_there_is_room(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        clock = MovedClock(datetime.now(UTC))
        put(tmp_path / "inbox/a.csv")

        def full(event: Event) -> None:
            if intake.tries <= 6:
                raise StoreBroken("database or disk is full")

        intake.on_accept = full
        async with running(tmp_path, intake, flow_set(flow("bills", AT_ONCE)), clock):
            for _ in range(300):
                clock.advance(timedelta(seconds=5))
                await asyncio.sleep(0.002)
            assert len(intake.events) == 1, "nobody looks at it until the next start"

    asyncio.run(go())


def test_a_file_taken_before_a_crash_is_stored_at_the_next_start(tmp_path: Path) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        flows = flow_set(flow("bills", AT_ONCE))
        put(tmp_path / "inbox/a.csv")

        def crash(event: Event) -> None:
            raise StoreClosed("the power went")

        intake.on_accept = crash
        async with running(tmp_path, intake, flows):
            await until(lambda: intake.tries == 1)
        assert intake.events == []
        intake.on_accept = lambda event: None
        for _ in range(3):  # and only once
            async with running(tmp_path, intake, flows):
                await until(lambda: len(intake.events) == 1)
        [event] = intake.events
        assert event.data["file"]["path"] == "inbox/a.csv"
        assert FileKeeper(tmp_path / "data").pending() == [event.id]

    asyncio.run(go())


class Power(BaseException):
    """Somebody pulled the plug."""


@pytest.mark.parametrize("device", ["same", "another"])
@pytest.mark.parametrize("step", range(12))
def test_a_crash_at_any_point_of_taking_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, device: str
) -> None:
    """The plug is pulled before each call that changes the disk, once more for a file on another file system."""
    data = tmp_path / "data"
    put(tmp_path / "inbox/a.csv")
    pattern = DropPattern.parse("inbox/*.csv", tmp_path)
    [found] = pattern.find()
    origin = taking.Origin(
        "bills",
        "file",
        "inbox/a.csv",
        str(found.path),
        "a.csv",
        found.size,
        found.mtime_ns,
        found.ctime_ns,
        found.inode,
    )
    calls = 0

    def pulled(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step + 1:
                raise Power
            if calls > step + 1:
                raise AssertionError("no power")
            if real is os_rename and device == "another" and str(args[1]).endswith("a.csv") and "src_dir_fd" in options:
                raise OSError(18, "cross-device")
            return real(*args, **options)

        return call

    os_rename = os.rename
    with monkeypatch.context() as patch:
        for name in ("rename", "fsync", "unlink", "mkdir"):
            patch.setattr(os, name, pulled(getattr(os, name)))
        # What tidies up after an error does not run when the power is off.
        patch.setattr(taking, "forget", lambda home: None)
        try:
            taking.take(data, "ev_1", found, origin, follow=True)
        except (Power, AssertionError):
            pass

    async def go() -> None:
        intake = RememberedIntake()
        async with running(tmp_path, intake, flow_set(flow("bills", AT_ONCE))):
            await until(lambda: len(intake.events) == 1)
        async with running(tmp_path, intake, flow_set(flow("bills", AT_ONCE))):
            pass
        [event] = intake.events
        assert (data / event.data["taken"]).read_text() == CSV
        assert FileKeeper(data).pending() == [event.id]
        assert list((tmp_path / "inbox").iterdir()) == []

    asyncio.run(go())


def test_a_file_replaced_between_the_look_and_the_taking_stays(tmp_path: Path) -> None:
    put(tmp_path / "inbox/a.csv")
    [found] = DropPattern.parse("inbox/*.csv", tmp_path).find()
    put(tmp_path / "inbox/b.csv", "tel\n").rename(tmp_path / "inbox/a.csv")
    origin = taking.Origin("f", "file", "a", "a", "a.csv", 1, 1, 1, 1)
    with pytest.raises(taking.Changed):
        taking.take(tmp_path / "data", "ev_1", found, origin, follow=True)
    (tmp_path / "inbox/a.csv").unlink()
    (tmp_path / "inbox/a.csv").symlink_to(put(tmp_path / "secret.csv"))
    with pytest.raises(taking.Changed):
        taking.take(tmp_path / "data", "ev_1", found, origin, follow=True)
    assert FileKeeper(tmp_path / "data").pending() == []


def test_a_folder_that_the_finisher_removes_meanwhile_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "files/ev_1"
    home.mkdir(parents=True)
    rmdir = Path.rmdir

    def second(folder: Path) -> None:
        rmdir(folder)  # the finisher, between our look and our step
        rmdir(folder)

    monkeypatch.setattr(Path, "rmdir", second)
    assert list(taking.taken_files(tmp_path)) == []


def test_a_file_of_a_flow_that_is_gone_waits_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        intake = RememberedIntake()
        flows = flow_set(flow("bills", AT_ONCE))
        copy_in(tmp_path / "data", put(tmp_path / "mine.csv"), flows.flows["bills"], AT_ONCE, "ev_1", datetime.now(UTC))
        async with running(tmp_path, intake, flow_set()) as source:
            await until(lambda: "its flow bills is gone" in caplog.text)
            source.set_flows(flows)
            await until(lambda: len(intake.events) == 1)
        assert intake.events[0].id == "ev_1"
        assert (tmp_path / "mine.csv").exists()

    asyncio.run(go())


def taken(folder: Path, trigger: FileTrigger = AT_ONCE, *, name: str = "a.csv", event: str = "ev_1") -> Event:
    now = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
    owner = flow("billing/reminder", trigger)
    data = copy_in(folder / "data", put(folder / name), owner, trigger, event, now)
    return Event(event, owner.id, trigger.id, "file", now, None, data)  # type: ignore[arg-type]


REJECTS = [Reject(2, 'column "tel": no', "x;y\n"), Reject(5, "it has 1 fields", "=HYPERLINK(1);+90\r\n")]


def test_a_finished_file_is_archived_with_its_rejected_rows_beside_it(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path / "data")
    event = taken(tmp_path)
    where = keeper.finish(event, iter(REJECTS), ok=True)
    archive = tmp_path / "data/archive/billing/reminder"
    assert where == archive / "2026-06-01T090000-a.csv"
    assert where.read_text() == CSV
    beside = archive / "2026-06-01T090000-a.csv.rejected.csv"
    assert beside.read_bytes().startswith(b"\xef\xbb\xbf")
    with beside.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file, delimiter=";")) == [
            ["row", "reason", "original"],
            ["2", 'column "tel": no', "x;y"],
            ["5", "it has 1 fields", "'=HYPERLINK(1);+90"],
        ]
    assert keeper.pending() == []
    assert keeper.finish(event, REJECTS, ok=True) is None  # a second time, after a crash


def test_a_file_without_rejects_has_nothing_beside_it_and_then_delete_leaves_nothing(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path / "data")
    delete = replace(AT_ONCE, then=AfterFile.DELETE)
    assert keeper.finish(taken(tmp_path, delete), [], ok=True) is None
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    kept = keeper.finish(taken(tmp_path, delete, event="ev_2"), [], ok=False)
    assert kept is not None
    assert kept.exists()


def test_two_files_of_one_name_and_second_are_both_kept(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path / "data")
    first = keeper.finish(taken(tmp_path), [], ok=True)
    second = keeper.finish(taken(tmp_path, event="ev_2"), REJECTS, ok=True)
    assert first is not None
    assert second is not None
    assert first != second
    assert first.exists()
    assert second.with_name(second.name + ".rejected.csv").exists()


def test_a_very_long_name_can_be_archived(tmp_path: Path) -> None:
    name = "ş" * 120 + ".csv"
    where = FileKeeper(tmp_path / "data").finish(taken(tmp_path, name=name), REJECTS, ok=True)
    assert where is not None
    assert where.suffix == ".csv"


@pytest.mark.parametrize("step", range(8))
def test_a_crash_while_finishing_is_finished_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    keeper = FileKeeper(tmp_path / "data")
    event = taken(tmp_path)
    calls = 0

    def pulled(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > step:
                raise Power
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "fsync", "unlink", "rmdir"):
            patch.setattr(os, name, pulled(getattr(os, name)))
        try:
            keeper.finish(event, REJECTS, ok=True)
        except Power:
            pass
    keeper.finish(event, REJECTS, ok=True)
    archive = tmp_path / "data/archive/billing/reminder"
    assert sorted(path.name for path in archive.iterdir() if not path.name.startswith(".")) == [
        "2026-06-01T090000-a.csv",
        "2026-06-01T090000-a.csv.rejected.csv",
    ]
    assert (archive / "2026-06-01T090000-a.csv").read_text() == CSV
    assert keeper.pending() == []


def test_an_event_of_a_file_can_be_stored_as_json(tmp_path: Path) -> None:
    event = taken(tmp_path)
    assert json.dumps(event.data, default=str)
