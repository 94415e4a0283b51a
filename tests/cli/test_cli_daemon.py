"""The commands beside a running daemon, and those that do without one; all of it real processes over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_kit import CONFIG, HELLO, call, folder, quick

from conwp_bot import telemetry

KEY = {"CONWP_API_KEY": "a-key-of-tests"}
REMINDER = """\
triggers: [{file: inbox/*.csv, columns: {phone: phone, name: text}}]
steps:
  - for_each: event.rows
    as: row
    steps:
      - send: {to: "{{ row.phone }}", text: "Merhaba {{ row.name }}"}
"""
CSV = "phone,name\n0555 123 45 67,Ayşe\n12,Kimse\n"
BROKEN = "triggers: []\nstepz: []\n"
CRON = 'timezone: Europe/Istanbul\ntriggers: [{cron: "0 9 * * *"}]\nsteps: [{log: hi}]\ndelivery: {limit: 5/hour}\n'


@contextmanager
def process(
    *arguments: str, cwd: Path, ready: str, stream: str = "stderr"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `python -m conwp_bot` until the block ends; begins once a line with `ready` has come, and gives that line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONWP")}
    running = subprocess.Popen(
        [sys.executable, "-m", "conwp_bot", *arguments],
        cwd=cwd,
        env={**clean, **KEY, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE if stream == "stdout" else subprocess.DEVNULL,
        stderr=subprocess.PIPE if stream == "stderr" else subprocess.DEVNULL,
        text=True,
    )
    pipe = running.stdout if stream == "stdout" else running.stderr
    assert pipe is not None
    try:
        seen = []
        for line in pipe:
            seen.append(line)
            if ready in line:
                break
        else:
            raise AssertionError(f"it ended with {running.wait()}: {''.join(seen)}")
        yield running, seen[-1]
    finally:
        running.send_signal(signal.SIGTERM)
        pipe.close()
        running.wait(30)


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a daemon with a sandbox is running."""
    path = tmp_path_factory.mktemp("alive")
    flows = {"hello.yaml": HELLO, "reminder.yaml": REMINDER, "broken.yaml": BROKEN, "morning.yaml": CRON}
    folder(path, flows)
    with process(
        "run", "--sandbox-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", cwd=path, ready="sending to the sandbox"
    ):
        yield path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder without a daemon, whose account is at a sandbox of its own."""
    path = tmp_path_factory.mktemp("alone")
    with process("sandbox", "--listen", "127.0.0.1:0", cwd=path, ready="sandbox: ", stream="stdout") as (_, line):
        address = line.split()[1]
        account = f"{{base_url: '{address}/yonetim/api/index.php', api_key: '${{CONWP_API_KEY}}'}}"
        folder(path, {"hello.yaml": HELLO, "reminder.yaml": REMINDER}, f"accounts: {{default: {account}}}\n")
        (path / "address").write_text(address)
        yield path


@pytest.fixture(autouse=True, scope="module")
def _forgotten() -> Iterator[None]:
    yield
    telemetry.restore()


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def receipts(path: Path) -> list[dict[str, Any]]:
    with urllib.request.urlopen((path / "address").read_text() + "/_sandbox/receipts", timeout=10) as answer:
        found: Any = json.load(answer)
    return list(found["receipts"] if isinstance(found, dict) else found)


# ---- beside a daemon


def test_fire_tells_what_became_of_each_message(alive: Path) -> None:
    done = call("fire", "hello", "--payload", '{"name": "Ayşe"}', cwd=alive, env=KEY)
    assert done.returncode == 0, done
    assert "accepted" in done.stdout
    assert "Hello Ayşe" in done.stdout
    fired = said(quick("fire", "hello", "--json", cwd=alive, env=KEY))
    assert list(fired) == ["event", "run", "state", "reason", "rejected", "messages"]
    assert [(each["state"], each["text"]) for each in fired["messages"]] == [("accepted", "Hello world")]


def test_a_payload_comes_from_a_file_or_standard_input_too(alive: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('\ufeff{"name": "Veli"}', encoding="utf-8")
    fired = said(quick("fire", "hello", "--json", "--data", str(tmp_path / "order.json"), cwd=alive, env=KEY))
    assert fired["messages"][0]["text"] == "Hello Veli"
    fired = said(quick("fire", "hello", "--json", "--data", "-", cwd=alive, env=KEY, stdin='{"name": "Can"}'))
    assert fired["messages"][0]["text"] == "Hello Can"


def test_a_flow_that_waits_for_a_file_takes_data_as_one_and_leaves_it_where_it_is(alive: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(CSV, encoding="utf-8")
    fired = said(quick("fire", "reminder", "--json", "--data", str(tmp_path / "list.csv"), cwd=alive, env=KEY))
    assert [(each["state"], each["text"]) for each in fired["messages"]] == [("accepted", "Merhaba Ayşe")]
    assert (tmp_path / "list.csv").exists()
    fired = said(quick("fire", "reminder", "--json", "--data", "-", cwd=alive, env=KEY, stdin=CSV))
    assert [each["text"] for each in fired["messages"]] == ["Merhaba Ayşe"]


def test_an_unknown_flow_is_a_problem_with_a_near_miss(alive: Path) -> None:
    for arguments in (["fire", "helo"], ["fire", "helo", "--dry-run"]):
        done = quick(*arguments, cwd=alive, env=KEY)
        assert (done.returncode, 'did you mean "hello"?' in done.stderr) == (1, True)


def test_two_ways_to_say_the_payload_are_wrong_usage(alive: Path) -> None:
    done = quick("fire", "hello", "--payload", "1", "--data", "-", cwd=alive, env=KEY, stdin="")
    assert done.returncode == 2


def test_send_exits_with_1_when_a_message_fails_and_tells_why(alive: Path) -> None:
    done = quick("send", "--to", "0555 123 45 67", "--to", "12", "--text", "{{ selam }}", cwd=alive, env=KEY)
    assert done.returncode == 1
    assert "905551234567  accepted  ({{ selam }})" in done.stdout
    assert "12  failed: " in done.stdout
    sent = said(
        quick("send", "--to", "+90 555 123 45 67", "--text", "-", "--json", cwd=alive, env=KEY, stdin="iki\nsatır\n")
    )
    assert sent["messages"][0]["text"] == "iki\nsatır"


def test_send_without_anything_to_say_is_wrong_usage(alive: Path) -> None:
    assert quick("send", "--to", "05551234567", cwd=alive, env=KEY).returncode == 2
    assert quick("send", "--text", "x", cwd=alive, env=KEY).returncode == 2


def test_an_unknown_account_is_a_problem(alive: Path) -> None:
    done = quick("send", "--to", "05551234567", "--text", "x", "--account", "shop", cwd=alive, env=KEY)
    assert (done.returncode, "shop" in done.stderr) == (1, True)


def test_flows_tell_state_next_slot_and_books(alive: Path) -> None:
    quick("fire", "hello", cwd=alive, env=KEY)
    listed = said(quick("flows", "--json", cwd=alive, env=KEY))
    flows = {each["id"]: each for each in listed}
    assert list(flows["hello"]) == [
        "id", "state", "file", "description", "triggers", "class", "account", "limit", "limit_used", "requests_hour",
        "requests_today", "messages_hour", "messages_today", "refused_hour", "refused_today", "waiting", "problems",
    ]  # fmt: skip
    assert (flows["hello"]["state"], flows["broken"]["state"]) == ("live", "off")
    assert flows["hello"]["messages_hour"] >= 1
    assert flows["broken"]["problems"]
    [cron] = flows["morning"]["triggers"]
    assert cron["next"].endswith(":00:00.000Z")
    assert flows["morning"]["limit"] == "5/hour"
    table = quick("flows", cwd=alive, env=KEY)
    assert "0 of 5/hour" in table.stdout
    assert "no daemon" not in table.stdout


def test_messages_and_runs_show_what_the_daemon_did(alive: Path) -> None:
    fired = said(quick("fire", "hello", "--json", cwd=alive, env=KEY))
    [found] = said(quick("messages", "--run", fired["run"], "--json", cwd=alive, env=KEY))
    assert found == fired["messages"][0]
    details = said(quick("run-info", fired["run"], "--json", cwd=alive, env=KEY))
    assert details["event"]["id"] == fired["event"]
    assert details["trace"]


def test_devices_and_status_ask_and_are_counted(alive: Path) -> None:
    [before] = said(quick("budget", "--json", cwd=alive, env=KEY))
    devices = said(quick("devices", "--json", cwd=alive, env=KEY))
    status = said(quick("status", "--json", cwd=alive, env=KEY))
    [after] = said(quick("budget", "--json", cwd=alive, env=KEY))
    assert devices[0]["ready"] is True
    assert status["username"]
    assert after["used"] == before["used"] + 2


def test_a_second_daemon_on_the_database_says_so_and_exits_with_78(alive: Path) -> None:
    done = call("run", "--sandbox-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", cwd=alive, env=KEY)
    assert done.returncode == 78
    assert "one daemon works on a database at a time" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_with_a_broken_config_tells_its_problems_and_exits_with_1(tmp_path: Path) -> None:
    folder(tmp_path, config="webb: {}\n")
    done = call("run", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("config.yaml:1:1: ")
    assert quick("run", "--listen", "nonsense", cwd=tmp_path).returncode == 2


# ---- without a daemon


def test_fire_without_a_daemon_sends_by_itself(alone: Path) -> None:
    fired = said(call("fire", "hello", "--json", cwd=alone, env=KEY))
    assert [each["state"] for each in fired["messages"]] == ["accepted"]
    assert receipts(alone)[-1]["messages"][0]["text"] == "Hello world"


def test_looking_without_a_daemon_sends_nothing(alone: Path) -> None:
    kept = json.loads(quick("fire", "hello", "--no-wait", "--json", cwd=alone, env=KEY).stdout)
    [waiting] = said(quick("messages", "--run", kept["run"], "--json", cwd=alone, env=KEY))
    before = len(receipts(alone))
    for command in ("flows", "messages", "runs", "budget", "check"):
        assert quick(command, cwd=alone, env=KEY).returncode == 0
    assert len(receipts(alone)) == before
    assert waiting["state"] in ("pending", "claimed", "accepted")
    assert "no daemon is running" in quick("flows", cwd=alone, env=KEY).stdout


def test_a_dry_run_shows_the_messages_and_leaves_no_trace(alone: Path, tmp_path: Path) -> None:
    before, runs = len(receipts(alone)), said(quick("runs", "--json", cwd=alone, env=KEY))
    (tmp_path / "list.csv").write_text(CSV, encoding="utf-8")
    done = quick("fire", "reminder", "--dry-run", "--data", str(tmp_path / "list.csv"), cwd=alone, env=KEY)
    assert done.returncode == 0, done
    assert "to 905551234567  (would be sent)\n    Merhaba Ayşe\n" in done.stdout
    assert "row 2 is rejected" in done.stdout
    tried = said(quick("fire", "hello", "--dry-run", "--json", "--payload", '{"name": "Can"}', cwd=alone, env=KEY))
    assert [each["text"] for each in tried["messages"]] == ["Hello Can"]
    assert len(receipts(alone)) == before
    assert said(quick("runs", "--json", cwd=alone, env=KEY)) == runs


def test_a_dry_run_needs_neither_daemon_nor_database(tmp_path: Path) -> None:
    folder(tmp_path, config=CONFIG)
    assert quick("fire", "hello", "--dry-run", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "data").exists()


def test_devices_without_a_key_says_where_the_key_should_be(tmp_path: Path) -> None:
    folder(tmp_path)
    done = quick("devices", cwd=tmp_path)
    assert (done.returncode, "CONWP_API_KEY" in done.stderr) == (1, True)


def test_the_sandbox_refuses_nonsense_as_wrong_usage(tmp_path: Path) -> None:
    assert quick("sandbox", "--listen", "nonsense", cwd=tmp_path).returncode == 2
    assert quick("sandbox", "--limit", "many", cwd=tmp_path).returncode == 2


def test_the_unit_is_printed_by_a_dry_run_and_allows_the_drop_folders(alone: Path) -> None:
    done = quick("service", "install", "--dry-run", "--user", cwd=alone, env=KEY)
    assert done.returncode == 0
    assert f"--config {alone}/config.yaml run" in done.stdout
    assert f"ReadWritePaths={alone}/inbox" in done.stdout
