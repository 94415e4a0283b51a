"""The table from answers to outcomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conwp_bot.api.detail import LONGEST, one_line, redactor
from conwp_bot.api.outcome import (
    Exchange,
    Got,
    Progress,
    judge_answer,
    judge_bulk,
    judge_message,
    retry_at,
)
from conwp_bot.api.reading import read_devices, read_status
from conwp_bot.model.outcome import Accepted, Failed, Invalid, Limited, Refused, Unknown, outcome_name

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
KEY = "sk_live/Canary+7f3a9b"
REDACT = redactor(KEY)


def answer(status: int, body: object = b"", **rest: object) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(Progress.WRITTEN, status=status, body=raw, **rest)


def single(exchange: Exchange):
    return judge_message(exchange, now=NOW, redact=REDACT)


def bulk(body: object, count: int = 3, status: int = 200):
    return judge_bulk(answer(status, body), count, now=NOW, redact=REDACT)


def test_the_documented_success_is_accepted_with_its_id():
    assert single(answer(200, {"success": True, "message_id": 123, "status": "sent"})) == Accepted(("123",))


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("message_id", [7, "wamid.7"])
def test_any_2xx_with_success_and_an_id_is_accepted(status, message_id):
    assert single(answer(status, {"success": True, "message_id": message_id})) == Accepted((str(message_id),))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Invalid("HTTP 400: receiver missing")),
        (401, Refused(401, "HTTP 401: receiver missing")),
        (403, Refused(403, "HTTP 403: receiver missing")),
        (404, Failed("HTTP 404: receiver missing")),
        (405, Failed("HTTP 405: receiver missing")),
        (429, Limited(None, "HTTP 429: receiver missing")),
        (500, Unknown("HTTP 500: receiver missing")),
    ],
)
def test_every_documented_error_code(status, expected):
    assert single(answer(status, {"success": False, "message": "receiver missing"})) == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>no</body></html>", b'{"succ', b'{"success": true, "message_id": 5}']
)
@pytest.mark.parametrize("fault", ["", "the connection broke"])
@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "invalid"), (401, "refused"), (403, "refused"), (404, "failed"), (405, "failed"), (429, "limited")],
)
def test_a_code_that_says_no_says_it_whatever_the_rest_of_the_answer_is(status, name, body, fault):
    assert outcome_name(single(answer(status, body, fault=fault))) == name


def test_success_false_is_proved_not_sent_and_keeps_the_words():
    assert single(answer(200, {"success": False, "error": "cihaz\nbağlı değil"})) == Failed("cihaz bağlı değil")


def test_another_4xx_that_says_success_false_is_proved_not_sent_but_a_5xx_is_not():
    refusal = {"success": False, "message": "no WhatsApp on this number"}
    assert isinstance(single(answer(422, refusal)), Failed)
    assert isinstance(single(answer(503, refusal)), Unknown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"   "),
        (200, b"<html><title>Bak\xc4\xb1mda</title></html>"),
        (200, b"null"),
        (200, b"true"),
        (200, b"[]"),
        (200, b'"sent"'),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 100_000),
        (200, b'{"a":' * 50_000 + b"}"),
        (200, b'{"success": true, "message_id": ' + b"9" * 5000 + b"}"),
        (200, {}),
        (200, {"success": True}),
        (200, {"message_id": 5, "status": "sent"}),
        *[(200, {"success": value, "message_id": 5}) for value in (1, 0, "true", "false", None, [], "")],
        *[
            (200, {"success": True, "message_id": value})
            for value in (None, 0, -1, "", " ", "0", 1.5, True, [], {}, "a\nb", "x" * 200)
        ],
        (200, {"success": True, "message_id": KEY}),
        (200, {"success": True, "message_id": 5, "status": "failed"}),
        (200, b'{"success": true, "message_id": 5} <!-- footer -->'),
        (200, b'{"success": false}{"success": true, "message_id": 5}'),
        *[
            (status, {"success": True, "message_id": 5})
            for status in (100, 101, 300, 301, 302, 304, 307, 308, 402, 408, 409, 418, 422)
        ],
        *[(status, {"success": True, "message_id": 5}) for status in (500, 502, 503, 504, 520, 522, 524, 599)],
        *[(status, b"") for status in (204, 302, 408, 413, 500, 502, 503, 504)],
    ],
)
def test_whatever_is_no_clean_success_and_no_proof_is_unknown(status, body):
    outcome = single(answer(status, body))
    assert isinstance(outcome, Unknown)
    assert outcome.detail


def test_an_answer_that_was_cut_is_unknown_even_if_what_came_looks_whole():
    outcome = single(answer(200, {"success": True, "message_id": 5}, fault="the connection broke"))
    assert isinstance(outcome, Unknown)
    assert "HTTP 200, then the connection broke" in outcome.detail


def test_no_answer_is_judged_by_how_far_the_request_got():
    assert single(Exchange(Progress.NOT_BEGUN, "refused")) == Failed("refused", environment=True, began=False)
    assert single(Exchange(Progress.BEGUN, "broke")) == Failed(
        "the body was not completely written: broke", environment=True, began=True
    )
    assert single(Exchange(Progress.WRITTEN, "broke")) == Unknown("broke")


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (401, b"", "refused"),
        (400, b"", "invalid"),
        (429, b"", "limited"),
        (500, b"", "failed"),
        (413, b"", "failed"),
        (200, b"<html>", "failed"),
        (200, b'{"success": false}', "failed"),
        (200, b'{"success": true, "message_id": 5}', "unknown"),
    ],
)
def test_an_answer_before_the_body_was_written_proves_that_nothing_was_sent_unless_it_claims_success(
    status, body, name
):
    outcome = single(Exchange(Progress.BEGUN, status=status, body=body))
    assert outcome_name(outcome) == name
    if isinstance(outcome, Failed):
        assert outcome.environment
        assert outcome.began


def test_a_php_warning_before_a_clean_success_is_noted():
    noise = b"<br />\n<b>Warning</b>: Undefined index {x} in <b>/var/www/api.php</b> on line 12<br />\n"
    outcome = single(answer(200, noise + b'{"success": true, "message_id": 9, "status": "sent"}\n'))
    assert isinstance(outcome, Accepted)
    assert outcome.provider_ids == ("9",)
    assert outcome.detail.startswith("text before the answer: <br /> <b>Warning</b>")


@pytest.mark.parametrize(
    ("tail", "name"),
    [
        (b'{"success": false, "message": "no"}', "failed"),
        (b'{"success": true}', "unknown"),
        (b'{"success": tr', "unknown"),
    ],
)
def test_a_php_warning_before_anything_else_is_judged_by_what_follows(tail, name):
    assert outcome_name(single(answer(200, b"Notice: x in y on line 1\n" + tail))) == name


def test_a_byte_order_mark_does_not_hide_a_success():
    assert single(answer(200, b'\xef\xbb\xbf{"success": true, "message_id": 4}')) == Accepted(("4",))


def test_a_redirect_is_unknown_and_says_where_it_points_without_its_query():
    outcome = single(answer(302, b"", location="https://user:pass@www.conwp.com/yonetim/x.php?api_key=1&a=b#c"))
    assert outcome == Unknown(
        "HTTP 302 points to https://www.conwp.com/yonetim/x.php, which is not followed; correct base_url"
    )


@pytest.mark.parametrize("location", [None, "", "http://[", "/login?next=1", "a\r\nb", "//x/y"])
def test_a_redirect_to_nonsense_is_unknown_too(location):
    outcome = single(answer(301, b"", location=location))
    assert isinstance(outcome, Unknown)
    assert "next=1" not in outcome.detail


def test_a_clean_bulk_answer_gives_one_id_each_in_order():
    body = {"success": True, "message_ids": [5, "6", 7], "total_queued": 3, "sent": 3, "failed": 0}
    assert bulk(body) == Accepted(("5", "6", "7"))
    assert bulk({"success": True, "message_ids": [5, 6, 7], "failed": 0}) == Accepted(("5", "6", "7"))


@pytest.mark.parametrize(
    "body",
    [
        {"success": True, "message_ids": [], "sent": 0, "failed": 3},
        {"success": True, "sent": 0, "failed": 3},
        {"success": False, "message_ids": [], "sent": 0, "failed": 3},
        {"success": False, "message": "no device"},
        {"success": False, "sent": 0, "failed": 0},
    ],
)
def test_a_bulk_answer_that_says_that_all_failed_is_proved_not_sent(body):
    assert isinstance(bulk(body), Failed)


@pytest.mark.parametrize(
    "body",
    [
        {"success": True, "message_ids": [5, 6], "total_queued": 3, "sent": 2, "failed": 1},
        {"success": False, "message_ids": [5, 6], "sent": 2, "failed": 1},
        {"success": False, "message_ids": [5]},
        {"success": False, "sent": 1},
        {"success": False, "failed": 1},
        {"success": True, "message_ids": [5, 6, 7], "sent": 2, "failed": 0},
        {"success": True, "message_ids": [5, 6, 7], "total_queued": 2, "failed": 0},
        {"success": True, "message_ids": [5, 6, 7], "sent": 3},
        {"success": True, "message_ids": [5, 6, 7], "failed": False},
        {"success": True, "message_ids": [5, 6, 7], "failed": "0"},
        {"success": True, "message_ids": [5, 6], "sent": 3, "failed": 0},
        {"success": True, "message_ids": [5, 6, 7, 8], "sent": 3, "failed": 0},
        {"success": True, "message_ids": [5, 5, 7], "sent": 3, "failed": 0},
        {"success": True, "message_ids": [5, None, 7], "sent": 3, "failed": 0},
        {"success": True, "message_ids": "567", "failed": 0},
        {"success": True, "message_ids": [5, 6, 7], "sent": 0, "failed": 3},
        {"success": True, "message_id": 5},
    ],
)
def test_a_mixed_or_mismatching_bulk_answer_is_unknown_as_a_whole(body):
    assert isinstance(bulk(body), Unknown)


def test_a_mixed_bulk_answer_says_how_many_failed():
    outcome = bulk({"success": True, "message_ids": [5, 6], "sent": 2, "failed": 1})
    assert outcome.detail.startswith("1 of 3 failed, 2 ids")


def test_a_bulk_request_shares_the_table_of_codes():
    assert isinstance(bulk({}, status=400), Invalid)
    assert isinstance(bulk(b"", status=500), Unknown)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 30 ", 30),
        ("0", 1),
        ("3600", 3600),
        ("99999", 3600),
        ("9" * 400, 3600),
        ("Mon, 23 Nov 2026 09:10:00 GMT", 600),
        ("Mon, 23 Nov 2026 12:10:00 +0300", 600),
        ("Monday, 23-Nov-26 09:10:00 GMT", 600),
        ("Mon Nov 23 09:10:00 2026", 600),
        ("Mon, 23 Nov 2026 08:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
    ],
)
def test_retry_after_is_read_in_both_forms_and_kept_within_a_second_and_an_hour(text, seconds):
    assert retry_at(text, now=NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", [None, "", "-5", "1.5", "soon", "1e9", "²", "12:00", "Mon, 99 Nov 2026 99:99:99 GMT", "\x00", "120, 60"]
)
def test_an_absurd_retry_after_says_nothing(text):
    assert retry_at(text, now=NOW) is None
    assert single(answer(429, b"", retry_after=text)) == Limited(None, "HTTP 429 without a body")


def test_a_detail_is_one_short_line_without_control_characters():
    outcome = single(answer(500, b"a\x00b\x1b[31m\r\n\t c\xe2\x80\xae" + b"\xc5\x9f" * 2000))
    assert outcome.detail.startswith("HTTP 500: ab[31m cşşş")
    assert len(outcome.detail) == LONGEST
    assert outcome.detail.isprintable()


def test_the_detail_of_a_html_page_is_its_text():
    page = b"<html><head><title>502 Bad Gateway</title><style>b{}</style></head><body><h1>nginx &amp; co</h1></body></html>"
    assert single(answer(502, page)) == Unknown("HTTP 502: 502 Bad Gateway nginx & co")


@pytest.mark.parametrize(
    "body",
    [
        KEY.encode(),
        KEY.upper().encode(),
        b"sk_live%2FCanary%2B7f3a9b",
        b"sk_live%2fCanary%2b7f3a9b",
        b"sk_live\\/Canary+7f3a9b",
        b"sk_live/Can\x00ary+7f3a9b",
        b"<p>sk_live/Canary&#43;7f3a9b</p>",
        b"<html>" + b" " * 8180 + KEY.encode(),
        b"x" * 290 + KEY.encode(),
        json.dumps({"success": False, "message": f"key {KEY} is blocked"}).encode(),
        json.dumps({"success": True, "message_id": KEY}).encode(),
        json.dumps({KEY: {"nested": KEY}}).encode(),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
def test_no_detail_holds_the_key_however_the_server_echoes_it(body, status):
    for outcome in (
        single(answer(status, body, location=f"https://x/{KEY}")),
        single(answer(status, body, fault="the connection broke")),
        judge_bulk(answer(status, body), 2, now=NOW, redact=REDACT),
        judge_answer(answer(status, body), read_devices, now=NOW, redact=REDACT),
    ):
        assert "canary" not in repr(outcome).lower()
        assert "sk_live" not in repr(outcome).lower()


def test_devices_become_values_and_only_active_is_ready():
    body = {
        "success": True,
        "devices": [
            {
                "token": "device_token_123",
                "device_name": "Ana Cihaz",
                "status": "active",
                "wa_number": "905551234567",
                "wa_name": "John Doe",
                "wa_platform": "android",
                "wa_is_business": False,
                "last_seen": "2024-01-15 10:30:00",
            },
            {"device_name": "Yedek", "status": "disconnected", "wa_is_business": "1"},
        ],
    }
    got = judge_answer(answer(200, body), read_devices, now=NOW, redact=REDACT)
    assert isinstance(got, Got)
    first, second = got.value
    assert (first.name, first.number, first.ready, first.business) == ("Ana Cihaz", "905551234567", True, False)
    assert first.last_seen == "2024-01-15 10:30:00"
    assert (second.ready, second.business, second.number) == (False, True, "")
    assert "device_token" not in repr(first)


def test_status_becomes_a_value_and_what_is_left_out_is_none():
    body = {
        "success": True,
        "user": {"username": "john_doe", "api_key_name": "Production API Key"},
        "usage": {"message_used": 150, "device_used": 2, "member_used": "5", "storage_used": None},
        "api_stats": {
            "total_requests": 1000,
            "successful_requests": 950,
            "failed_requests": 50,
            "avg_execution_time": 0.125,
        },
    }
    got = judge_answer(answer(200, body), read_status, now=NOW, redact=REDACT)
    assert isinstance(got, Got)
    books = got.value
    assert (books.username, books.messages_used, books.members_used, books.storage_used) == ("john_doe", 150, 5, None)
    assert (books.requests, books.requests_failed, books.average_seconds) == (1000, 50, 0.125)


@pytest.mark.parametrize("read", [read_devices, read_status])
@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"success": True}, "unknown"),
        ({"success": True, "devices": "none", "usage": 5}, "unknown"),
        ({"success": True, "devices": [1, 2]}, "unknown"),
        ({"success": False, "message": "no"}, "failed"),
        (b"<html>", "unknown"),
    ],
)
def test_an_answer_of_another_shape_is_no_value(read, body, name):
    assert outcome_name(judge_answer(answer(200, body), read, now=NOW, redact=REDACT)) == name


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.dictionaries(
    st.sampled_from(["success", "message_id", "message_ids", "sent", "failed", "status", "devices", "usage"]), _JSON
)
_BODIES = st.binary(max_size=200) | _FIELDS.map(lambda value: json.dumps(value).encode())


@settings(max_examples=400, deadline=None)
@given(_BODIES, st.integers(100, 599), st.sampled_from(Progress), st.sampled_from(["", "broke"]), st.text(max_size=30))
def test_no_answer_breaks_the_table_and_only_a_clean_success_is_accepted(body, status, progress, fault, header):
    exchange = Exchange(progress, fault, status, body, header, header)
    outcomes = [
        judge_message(exchange, now=NOW, redact=REDACT),
        judge_bulk(exchange, 2, now=NOW, redact=REDACT),
        judge_answer(exchange, read_devices, now=NOW, redact=REDACT),
        judge_answer(exchange, read_status, now=NOW, redact=REDACT),
    ]
    for outcome in outcomes:
        if isinstance(outcome, Accepted | Got):
            assert progress is Progress.WRITTEN
            assert not fault
            assert 200 <= status < 300
            assert b'"success": true' in body
        else:
            assert len(outcome.detail) <= LONGEST


@given(st.text(max_size=500))
def test_one_line_is_always_printable_and_short(text):
    line = one_line(text, REDACT)
    assert line.isprintable()
    assert len(line) <= LONGEST
