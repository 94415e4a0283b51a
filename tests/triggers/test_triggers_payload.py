"""What a webhook may say: JSON, forms and texts, within bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conwp_bot.triggers.payload import MOST_NESTED, MOST_VALUES, NotAcceptable, read_json, read_payload


@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        (
            "application/json",
            b'{"ad": "\xc4\xb0pek", "n": [1, 2.5, null, true]}',
            {"ad": "İpek", "n": [1, 2.5, None, True]},
        ),
        ("application/json; charset=UTF-8", b"\xef\xbb\xbf[]", []),
        ("application/cloudevents+json", b"1", 1),
        (None, b'"x"', "x"),
        ("application/json", b"", None),
        ("application/x-www-form-urlencoded", b"a=1&b=%C3%BC+x&b=2&c=", {"a": "1", "b": ["ü x", "2"], "c": ""}),
        ("text/plain", "Şiş".encode(), "Şiş"),
        ("image/png", b"", None),
    ],
)
def test_a_body_becomes_data_by_its_content_type(content_type: str | None, body: bytes, payload: Any) -> None:
    assert read_payload(content_type, body) == payload


@pytest.mark.parametrize(
    ("content_type", "body", "status", "says"),
    [
        ("application/json", b"{", 400, "no JSON"),
        ("application/json", b'{"a": 1, "a": 2}', 400, "twice"),
        ("application/json", b"[NaN]", 400, "NaN"),
        ("application/json", b"-Infinity", 400, "-Infinity"),
        ("application/json", b"1e999", 400, "too large"),
        ("application/json", b"9" * 5000, 400, "digits"),
        ("application/json", b'"\\ud800"', 400, "surrogate"),
        ("application/json", b'{"\\udfff": 1}', 400, "surrogate"),
        ("application/json", b"\xff", 400, "UTF-8"),
        ("application/json", b"[" * 100_000, 400, "JSON"),
        ("application/json", b"[" * 33 + b"]" * 33, 400, "nested"),
        ("application/json", b'{"a":' * 40 + b"1" + b"}" * 40, 400, "nested"),
        ("application/json; charset=iso-8859-9", b"1", 415, "UTF-8"),
        ("application/x-www-form-urlencoded", b'{"a": 1}', 415, "application/json"),
        ("application/x-www-form-urlencoded", b"a=%ff", 400, "form"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 2000), 400, "1000"),
        ("text/plain", b"\xfe", 400, "UTF-8"),
        ("multipart/form-data; boundary=x", b"--x", 415, "application/json"),
        ("application/xml", b"<a/>", 415, "application/json"),
    ],
)
def test_what_is_not_acceptable_says_why(content_type: str, body: bytes, status: int, says: str) -> None:
    with pytest.raises(NotAcceptable, match=says) as caught:
        read_payload(content_type, body)
    assert caught.value.status == status


def test_depth_and_size_are_bounded_exactly() -> None:
    assert read_json("[" * MOST_NESTED + "]" * MOST_NESTED)
    assert len(read_json(json.dumps([0] * (MOST_VALUES - 1)))) == MOST_VALUES - 1
    with pytest.raises(NotAcceptable, match="values"):
        read_json(json.dumps([0] * MOST_VALUES))
    with pytest.raises(NotAcceptable, match="values"):
        read_json(json.dumps([{"a": [0] * 100}] * 1000))
    assert read_json(json.dumps([{"text": "{[,,,," * 5000}] * 20))


def test_a_whole_surrogate_pair_is_a_letter() -> None:
    assert read_json('"\\ud83d\\ude00"') == "😀"
