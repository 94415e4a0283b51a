"""What is written to the log, and what never is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from conwp_bot import telemetry
from conwp_bot.model.secret import Secret

log = logging.getLogger("conwp_bot.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    telemetry.restore()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(style: str, *args: Any, level: str = "debug", **kwargs: Any) -> str:
    stream = io.StringIO()
    telemetry.configure(level, style, stream)
    log.warning(*args, **kwargs)
    return stream.getvalue()


def as_json(*args: Any, **kwargs: Any) -> dict[str, Any]:
    line = written("json", *args, **kwargs)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    fields: dict[str, Any] = json.loads(line)
    return fields


def test_a_json_line_has_time_level_logger_message_and_the_ids() -> None:
    fields = as_json(
        "accepted", extra={"flow": "hello", "run": "run_1", "message_id": "msg_1", "recipient": "9055*****67"}
    )
    assert fields.pop("time").endswith("Z")
    assert fields == {
        "level": "warning",
        "logger": "conwp_bot.test",
        "message": "accepted",
        "flow": "hello",
        "run": "run_1",
        "message_id": "msg_1",
        "recipient": "9055*****67",
    }


def test_a_human_line_reads_from_left_to_right() -> None:
    line = written("human", "accepted", extra={"flow": "hello", "detail": "it went", "empty": ""})
    assert line.rstrip("\n").split(" ", 2)[2].split() == ["warning", "accepted", "flow=hello", 'detail="it', 'went"']


def test_auto_is_human_on_a_terminal_and_json_elsewhere() -> None:
    terminal = Terminal()
    telemetry.configure("info", "auto", terminal)
    log.info("hi")
    assert "hi" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert written("auto", "hi").startswith("{")


@pytest.mark.parametrize("style", ["human", "json"])
@pytest.mark.parametrize(
    "value", ["a\nb", "a\r\nINFO forged", "\x1b[2Jgone", "a\u2028b", "a\u0085b", "\x00", "\u202eabc"]
)
def test_a_payload_never_makes_a_line_of_its_own_nor_moves_the_terminal(style: str, value: str) -> None:
    line = written(style, "got %s", value, extra={"field": value, value: "x", "nested": {"a": [value]}})
    assert len(line.splitlines()) == 1
    assert line.rstrip("\n").isprintable()


def test_a_traceback_is_one_field_of_json() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        fields = as_json("broke", exc_info=True)
    assert fields["traceback"].startswith("Traceback")
    assert "first\nsecond" in fields["traceback"]


def test_a_traceback_for_people_has_every_line_marked() -> None:
    try:
        raise ValueError("first\n2026-01-01 00:00:00 info forged")
    except ValueError:
        lines = written("human", "broke", exc_info=True).splitlines()
    assert all(line.startswith("    | ") for line in lines[1:])
    assert len(lines) > 3


SECRET = 'k3y/with "quotes"+ı'


@pytest.mark.parametrize("style", ["human", "json"])
def test_a_registered_secret_is_written_nowhere(style: str) -> None:
    telemetry.register_secret(Secret(SECRET))
    telemetry.register_secret(Secret("plainsecret1"))
    try:
        raise ValueError(f"url?api_key={SECRET}")
    except ValueError:
        line = written(
            style,
            "message %s plainsecret1 %r",
            SECRET,
            {"key": SECRET},
            exc_info=True,
            extra={"header": SECRET, "all": {"deep": [SECRET, "plainsecret1"]}, "flow": "plainsecret1"},
        )
    assert "k3y" not in line
    assert "plainsecret1" not in line
    assert "***" in line


def test_a_secret_in_an_address_is_found_in_its_encoded_spelling() -> None:
    telemetry.register_secret(Secret("a b/c&d"))
    assert telemetry.redact("x?k=a%20b%2Fc%26d and x?k=a+b%2Fc%26d") == "x?k=*** and x?k=***"


def test_a_secret_across_the_cut_leaves_no_half() -> None:
    telemetry.register_secret(Secret("0123secret4567"))
    fields = as_json("x" * (telemetry.LONGEST - 5) + "0123secret4567")
    assert "0123" not in fields["message"]


def test_a_secret_stays_secret_when_the_arguments_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    telemetry.configure("info", "json", stream)
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%d messages", ("topsecret",), None)
    logging.getLogger().handlers[-1].handle(record)  # ours alone: pytest's own would fail the test for it
    assert "topsecret" not in stream.getvalue() + capsys.readouterr().err
    assert "do not fit" in stream.getvalue()


def test_a_field_is_cut_at_its_longest() -> None:
    fields = as_json("m" * 20_000, extra={"body": "b" * 20_000, "many": list(range(10_000))})
    assert all(len(fields[name]) < telemetry.LONGEST + 50 for name in ("message", "body", "many"))
    assert fields["body"].endswith("(11808 characters more)")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to 905551234567.", "to 9055******67."),
        ("to +905551234567, now", "to 9055******67, now"),
        ("to +90 555 123 45 67", "to 9055******67"),
        ("to +90 (555) 123-45-67!", "to 9055******67!"),
        ("(05551234567)", "(0555*****67)"),
    ],
)
def test_phone_numbers_are_masked(text: str, masked: str) -> None:
    assert telemetry.mask_numbers(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "until 2026-11-22T10:00:00.123456+00:00",
        "2026-11-22 10:00:01",
        "run_01jd5551234567890abc failed",
        "msg_0123456789012345",
        "12345 rows, 100000 messages",
        "127.0.0.1:8700",
        "3.14159265358979",
        "0123456789012345678901",
        "sha 5551234567abcdef",
    ],
)
def test_ids_dates_times_and_small_numbers_are_not_masked(text: str) -> None:
    assert telemetry.mask_numbers(text) == text


def test_an_id_of_digits_stays_whole_and_a_number_beside_it_does_not() -> None:
    fields = as_json("x", extra={"request": "905551234567", "to": "905551234567"})
    assert fields["request"] == "905551234567"
    assert fields["to"] == "9055******67"


def test_a_record_is_left_as_it_was_for_other_handlers() -> None:
    telemetry.register_secret(Secret("topsecret"))
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "say %s", ("topsecret",), None)
    before = dict(record.__dict__)
    telemetry.JsonFormatter().format(record)
    telemetry.HumanFormatter().format(record)
    assert record.__dict__ == before


def test_a_field_that_has_a_name_of_ours_does_not_replace_it() -> None:
    fields = as_json("x", extra={"level": "mine", "time": 3})
    assert fields["level"] == "warning"
    assert (fields["extra_level"], fields["extra_time"]) == ("mine", 3)


def test_half_characters_and_odd_values_are_written_as_valid_json() -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8")
    telemetry.configure("info", "json", stream)
    odd = {
        "msg": "\udc80",
        "levelno": logging.INFO,
        "nan": float("nan"),
        "bytes": b"\x00",
        "set": {1},
        "keys": {(1, 2): 3},
    }
    # Handled by ours alone: pytest's own handler would keep the half character in its report.
    logging.getLogger().handlers[-1].handle(logging.makeLogRecord(odd))
    fields = json.loads(raw.getvalue().decode())
    assert (fields["message"], fields["nan"]) == ("\udc80", "nan")


def test_a_line_for_a_narrow_stream_is_escaped_not_lost() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    telemetry.configure("info", "human", stream)
    log.info("İstanbul")
    assert b"\\u0130stanbul" in raw.getvalue()


def test_libraries_are_heard_from_warning_on() -> None:
    stream = io.StringIO()
    telemetry.configure("debug", "json", stream)
    logging.getLogger("httpx").info("HTTP Request: POST https://…")
    logging.getLogger("uvicorn.access").info("GET /")
    assert stream.getvalue() == ""


def test_levels_below_the_configured_one_are_not_written() -> None:
    stream = io.StringIO()
    telemetry.configure("warning", "json", stream)
    log.info("small talk")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_and_restoring_removes() -> None:
    first, second = io.StringIO(), io.StringIO()
    before = list(logging.getLogger().handlers)
    telemetry.configure("info", "json", first)
    telemetry.configure("info", "json", second)
    log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
    telemetry.restore()
    assert logging.getLogger().handlers == before
    assert logging.getLogger().level == logging.WARNING


def test_a_stream_that_is_gone_does_not_break_the_daemon() -> None:
    stream = io.StringIO()
    telemetry.configure("info", "json", stream)
    stream.close()
    log.info("nobody hears this")
