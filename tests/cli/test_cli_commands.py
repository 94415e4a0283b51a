"""The commands that need no daemon: what they say, what they write, how they exit."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_kit import CONFIG, HELLO, NUMBER, Filled, call, folder, message, quick, record, request
from click.testing import CliRunner, Result
from jsonschema import Draft7Validator

from conwp_bot.cli import main as main_module
from conwp_bot.cli.init import folder_files, preferred_language
from conwp_bot.cli.main import COMMANDS, cli
from conwp_bot.clock import SystemClock
from conwp_bot.errors import AlreadyRunning, ConwpBotError
from conwp_bot.model.delivery import State
from conwp_bot.store import outbox

HEAVY = ("sqlalchemy", "pydantic", "httpx", "starlette", "jinja2", "rich", "yaml", "asyncio")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("CONWP", "LC_", "LANG", "NO_COLOR")):
            monkeypatch.delenv(name)


def invoke(config: Path, *arguments: str, **kwargs: Any) -> Result:
    result = CliRunner().invoke(cli, ["--config", str(config), *arguments], **kwargs)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def as_json(config: Path, *arguments: str) -> Any:
    result = invoke(config, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# ---- the group


def test_help_imports_no_command_and_nothing_heavy(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom conwp_bot.cli.main import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "ours = [name.split('.')[-1] for name in sys.modules if name.startswith('conwp_bot.cli.')]\n"
        "found += [name for name in ours if name not in ('main', 'invocation')]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_each_command_is_where_the_table_says_and_its_help_says_the_same() -> None:
    with cli.make_context("conwp-bot", ["check"]) as context:
        for name, (_, _, line) in COMMANDS.items():
            command = cli.get_command(context, name)
            assert command is not None
            assert command.name == name
            assert command.help, name
            assert line.endswith(".")


def test_a_mistyped_command_is_wrong_usage_with_a_near_miss(tmp_path: Path) -> None:
    done = call("mesages", cwd=tmp_path)
    assert done.returncode == 2
    assert "messages" in done.stderr


def test_an_unknown_option_is_wrong_usage(tmp_path: Path) -> None:
    assert call("check", "--josn", cwd=tmp_path).returncode == 2


def test_the_config_may_be_named_before_or_behind_the_command_or_in_the_environment(tmp_path: Path) -> None:
    file = folder(tmp_path / "there")
    for arguments, env in (
        (["--config", str(file), "check"], None),
        (["check", "--config", str(file)], None),
        (["check"], {"CONWP_BOT_CONFIG": str(file)}),
        (["--config", "nowhere.yaml", "check", "--config", str(file)], None),
    ):
        done = call(*arguments, cwd=tmp_path, env=env)
        assert (done.returncode, "1 flow" in done.stdout) == (0, True), (arguments, done)
    assert call("check", cwd=file.parent).returncode == 0


def test_a_missing_config_is_a_problem_with_a_hint(tmp_path: Path) -> None:
    for command in ("check", "messages", "flows", "budget"):
        done = quick(command, cwd=tmp_path)
        assert done.returncode == 1, done
        assert "conwp-bot init" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConwpBotError("it broke", hint="mend it"), 1),
        (AlreadyRunning("/data", 42), 78),
        (PermissionError(13, "Permission denied", "/data/x"), 1),
    ],
)
def test_errors_are_one_line_with_a_hint_and_an_exit_code(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import conwp_bot.cli.check as check_module

    def raise_it(*_: object) -> None:
        raise error

    monkeypatch.setattr(check_module, "examine", raise_it)
    result = CliRunner().invoke(cli, ["check"])
    assert result.exit_code == code
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    shown = CliRunner().invoke(cli, ["check", "--debug"])
    assert shown.exception is error


# ---- init, check, schema


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_init_writes_a_folder_that_check_finds_nothing_wrong_with(lang: str, tmp_path: Path) -> None:
    done = call("init", "here", "--lang", lang, cwd=tmp_path)
    assert done.returncode == 0
    assert "cd here" in done.stdout
    checked = call("check", "--json", cwd=tmp_path / "here", env={"CONWP_API_KEY": "k-123456"})
    assert (checked.returncode, json.loads(checked.stdout)) == (0, [])
    tried = json.loads(quick("fire", "hello", "--dry-run", "--json", cwd=tmp_path / "here").stdout)
    assert [each["recipient"] for each in tried["messages"]] == [
        NUMBER
    ]  # whatever the locale makes of a number at home


def test_init_wires_the_schemas_into_each_file_and_the_editor(tmp_path: Path) -> None:
    invoke(tmp_path / "config.yaml", "init", str(tmp_path))
    for name in ("config.yaml", "flows/hello.yaml"):
        file = tmp_path / name
        first, _, rest = file.read_text().partition("\n")
        schema_file = (file.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()
        Draft7Validator(json.loads(schema_file.read_text())).validate(yaml.safe_load(rest))
    wired = json.loads((tmp_path / ".vscode/settings.json").read_text())["yaml.schemas"]
    assert all((tmp_path / name).is_file() for name in wired)
    assert "/data/" in (tmp_path / ".gitignore").read_text()


def test_init_keeps_what_is_there_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/hello.yaml").write_text("mine")
    (tmp_path / "config.yaml").symlink_to("nowhere")
    result = invoke(tmp_path / "config.yaml", "init", str(tmp_path))
    assert (tmp_path / "flows/hello.yaml").read_text() == "mine"
    assert (tmp_path / "config.yaml").is_symlink()
    assert not (tmp_path / "nowhere").exists()
    kept = [line for line in result.stdout.splitlines() if line.startswith("kept")]
    assert len(kept) == 2
    assert all("nothing was changed" in line for line in kept)
    again = invoke(tmp_path / "config.yaml", "init", str(tmp_path)).stdout
    assert "wrote" not in again


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "tr_TR.UTF-8"}, "tr"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "tr_TR.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "tr_TR", "LANG": "de_DE"}, "tr"),
    ],
)
def test_the_language_is_that_of_the_locale(environ: dict[str, str], language: str) -> None:
    assert preferred_language(environ) == language


def test_no_file_of_init_carries_a_key_or_an_absolute_path(tmp_path: Path) -> None:
    for text in folder_files("en").values():
        assert "/home" not in text
        assert "/work" not in text


def test_check_tells_file_line_column_and_hint_and_exits_with_1(tmp_path: Path) -> None:
    folder(tmp_path, {"bad.yaml": "trigers: []\nsteps:\n  - send: {to: 1, text: x}\n", "good.yaml": HELLO})
    done = call("check", cwd=tmp_path, env={"CONWP_API_KEY": "k-123456"})
    assert done.returncode == 1
    line = done.stdout.splitlines()[0]
    assert line.startswith("flows/bad.yaml:1:1: ")
    assert 'did you mean "triggers"?' in line
    assert done.stdout.splitlines()[-1] == "1 error in the config and 2 flows"
    assert "\x1b" not in done.stdout


def test_check_json_is_a_list_of_objects_with_these_keys(tmp_path: Path) -> None:
    folder(tmp_path, {"bad.yaml": "trigers: []\nsteps: [{send: {to: 1, text: x}}]\n"})
    done = call("check", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert {each["severity"] for each in found} == {"error", "warning"}
    for each in found:
        assert list(each) == ["file", "line", "column", "path", "message", "hint", "severity"]


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    folder(tmp_path)
    done = call("check", cwd=tmp_path)
    assert (done.returncode, "warning" in done.stdout) == (0, True)


def test_a_webhook_whose_secret_is_not_there_is_warned_of_where_it_stands(tmp_path: Path) -> None:
    flow = "triggers:\n  - webhook: a\n    secret: ${SHOP_SECRET}\nsteps:\n  - log: hi\n"
    config = folder(tmp_path, {"shop.yaml": flow})
    [secret] = [each for each in as_json(config, "check") if each["file"].endswith("shop.yaml")]
    assert (secret["line"], secret["column"], secret["severity"]) == (3, 13, "warning")
    assert "SHOP_SECRET" in secret["message"]
    assert not [
        each
        for each in json.loads(invoke(config, "check", "--json", env={"SHOP_SECRET": "s3cr3tvalue"}).stdout)
        if each["file"].endswith("shop.yaml")
    ]


def test_a_broken_config_does_not_hide_the_problems_of_flows(tmp_path: Path) -> None:
    config = folder(tmp_path, {"bad.yaml": "stepz: []\n"}, "wb: {}\n")
    found = json.loads(invoke(config, "check", "--json").stdout)
    assert {Path(each["file"]).name for each in found} == {"config.yaml", "bad.yaml"}


def test_check_of_a_path_tells_only_its_problems(tmp_path: Path) -> None:
    config = folder(tmp_path, {"bad.yaml": "stepz: []\n", "good.yaml": HELLO})
    stray = tmp_path / "elsewhere.yaml"
    stray.write_text("stepz: []\n")
    good = invoke(config, "check", str(tmp_path / "flows/good.yaml"))
    assert (good.exit_code, good.stdout) == (0, "no problems in the config and 1 flow\n")
    assert invoke(config, "check", str(tmp_path / "flows/bad.yaml")).exit_code == 1
    assert invoke(config, "check", str(tmp_path / "flows")).exit_code == 1
    alone = invoke(config, "check", str(stray))
    assert (alone.exit_code, "elsewhere.yaml" in alone.stdout) == (1, True)
    assert invoke(config, "check", str(tmp_path / "missing.yaml")).exit_code == 2


@pytest.mark.parametrize("what", ["flow", "config"])
def test_schema_prints_a_schema_that_is_one(what: str, tmp_path: Path) -> None:
    made = json.loads(invoke(tmp_path / "none.yaml", "schema", what).stdout)
    Draft7Validator.check_schema(made)


# ---- looking at the database


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A config whose database holds an accepted, a failed and a waiting message."""
    config = folder(tmp_path)
    now = SystemClock().now()
    database = Filled(tmp_path / "data")
    with database.engine.begin() as conn:
        made = [
            message(1, at=now, text="first\nline \x1b[2J"),
            message(2, at=now, recipient="12", state=State.FAILED, reason="'12' is no phone number"),
            message(3, at=now),
        ]
        record(conn, made, at=now)
        request(conn, 1, ["msg_0001"], at=now)
        outbox.set_wait(conn, "account", "default", now + timedelta(minutes=30), "budget", None, now)
    database.close()
    return config


@pytest.mark.parametrize("command", ["messages", "runs", "budget"])
def test_a_missing_database_means_nothing_yet_and_makes_none(command: str, tmp_path: Path) -> None:
    config = folder(tmp_path)
    assert invoke(config, command).exit_code == 0
    assert isinstance(as_json(config, command), list)
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_no_database_is_told_of_in_one_line(tmp_path: Path) -> None:
    config = folder(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/conwp-bot.db").write_bytes(b"not a database, not at all" * 100)
    result = invoke(config, "messages")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "cannot be read" in result.stderr


def test_messages_json_has_the_documented_keys(filled: Path) -> None:
    waiting, failed, accepted = as_json(filled, "messages")
    assert list(accepted) == [
        "id", "flow", "run", "step", "recipient", "state", "reason", "text", "type", "media_url", "class", "account",
        "attempts", "created_at", "accepted_at", "expires_at", "not_before", "provider_id",
    ]  # fmt: skip
    assert (accepted["state"], accepted["attempts"], accepted["text"]) == ("accepted", 1, "first\nline \x1b[2J")
    assert accepted["accepted_at"].endswith("Z")
    assert (failed["state"], failed["attempts"], failed["accepted_at"]) == ("failed", 0, None)
    assert waiting["reason"].startswith("budget of default is used up until ")


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--state", "failed"], ["msg_0002"]),
        (["--recipient", "0555 123 45 67"], ["msg_0003", "msg_0001"]),
        (["--recipient", "+905551234567"], ["msg_0003", "msg_0001"]),
        (["--recipient", "12"], ["msg_0002"]),
        (["--flow", "hello", "--limit", "1"], ["msg_0003"]),
        (["--flow", "nobody"], []),
        (["--run", "1"], ["msg_0003", "msg_0002", "msg_0001"]),
        (["--run", "run_"], ["msg_0003", "msg_0002", "msg_0001"]),
    ],
)
def test_messages_are_found_by_each_filter(filled: Path, options: list[str], ids: list[str]) -> None:
    assert [each["id"] for each in as_json(filled, "messages", *options)] == ids


def test_a_table_is_plain_text_of_one_line_a_message_when_nobody_watches(filled: Path) -> None:
    lines = invoke(filled, "messages").stdout.splitlines()
    assert len(lines) == 4
    assert "\x1b" not in "".join(lines)
    assert "first line \\x1b[2J" in lines[3]
    assert NUMBER in lines[3]


def test_a_message_tells_its_text_and_its_attempts(filled: Path) -> None:
    text = invoke(filled, "message-info", "0001").stdout
    assert "    first\n    line \\x1b[2J\n" in text
    assert "req_0001" in text
    [one] = as_json(filled, "message-info", "msg_0001")["requests"]
    assert (one["request"], one["outcome"]) == ("req_0001", "accepted")


def test_a_run_tells_its_event_steps_and_messages(filled: Path) -> None:
    text = invoke(filled, "run-info", "run_1").stdout
    for part in ("hook (webhook)", "steps[0]", "msg_0001", "accepted", "Ayşe\\n\\u001b[31m"):
        assert part in text
    found = as_json(filled, "run-info", "1")
    assert found["event"]["data"]["payload"]["name"] == "Ayşe\n\x1b[31m"
    assert [each["id"] for each in found["messages_made"]] == ["msg_0001", "msg_0002", "msg_0003"]
    assert found["trace"][0]["did"] == "sent"


def test_runs_json_has_the_documented_keys(filled: Path) -> None:
    [run] = as_json(filled, "runs")
    assert list(run) == [
        "id", "flow", "event", "trigger", "kind", "state", "reason", "started_at", "ended_at", "messages", "rejected",
    ]  # fmt: skip
    assert as_json(filled, "runs", "--state", "failed") == []


def test_budget_json_has_the_documented_keys(filled: Path) -> None:
    [account] = as_json(filled, "budget")
    assert list(account) == [
        "account", "limit", "usable", "used", "left", "frees_at", "waiting", "backlog", "pending", "requests_hour",
    ]  # fmt: skip
    assert (account["limit"], account["usable"], account["used"], account["left"]) == ("1000/hour", 990, 1, 989)
    assert account["waiting"]["because"] == "budget"
    assert "budget of default is used up until" in invoke(filled, "budget").stdout


@pytest.mark.parametrize("command", ["run-info", "message-info"])
def test_an_id_that_is_not_there_or_not_the_only_one_is_said(command: str, filled: Path) -> None:
    missing = invoke(filled, command, "zzz")
    assert (missing.exit_code, missing.stderr.startswith("error: no ")) == (1, True)
    if command == "message-info":
        several = invoke(filled, command, "0")
        assert (several.exit_code, "several messages" in several.stderr) == (1, True)


def test_reading_beside_a_daemon_needs_no_lock(filled: Path) -> None:
    from conwp_bot.app.lock import data_lock

    with data_lock(filled.parent / "data"):
        assert len(as_json(filled, "messages")) == 3


def test_nothing_that_is_read_is_changed(filled: Path) -> None:
    database = filled.parent / "data/conwp-bot.db"
    before = database.read_bytes()
    for command in ("messages", "runs", "budget"):
        as_json(filled, command)
    assert database.read_bytes() == before


def test_a_reader_that_has_seen_enough_ends_us_quietly(filled: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        f"{sys.executable} -m conwp_bot --config {filled} messages --json | head -c 5",
        shell=True, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_python_m_is_the_same_program(tmp_path: Path) -> None:
    assert call("--version", cwd=tmp_path).stdout.startswith("conwp-bot, version ")
    assert main_module.main is not None
    assert CONFIG in folder(tmp_path).read_text()
