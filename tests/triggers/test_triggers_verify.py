"""Who may fire a webhook: the schemes, their vectors, and every way to be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from conwp_bot.flows.flow import Scheme
from conwp_bot.triggers.verify import keys_of, verify

# The example of the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
SENT = datetime.fromtimestamp(1614265330, UTC)
HEADERS = {"webhook-id": ID, "webhook-timestamp": "1614265330", "webhook-signature": SIGNATURE}
KEYS = keys_of(Scheme.STANDARD, SECRET)


def test_the_example_of_standard_webhooks_is_proved() -> None:
    assert verify(Scheme.STANDARD, KEYS, HEADERS, BODY, SENT) is None
    assert verify(Scheme.STANDARD, KEYS, HEADERS, BODY, SENT + timedelta(seconds=300)) is None


@pytest.mark.parametrize(
    ("headers", "body", "late", "reason"),
    [
        ({"webhook-id": ""}, BODY, 0, "missing"),
        ({"webhook-signature": ""}, BODY, 0, "missing"),
        ({"webhook-timestamp": ""}, BODY, 0, "missing"),
        ({"webhook-timestamp": "1e9"}, BODY, 0, "no number"),
        ({"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"}, BODY, 0, "no number"),
        ({}, BODY, 301, "5 minutes"),
        ({}, BODY, -301, "5 minutes"),
        ({}, BODY + b" ", 0, "no signature fits"),
        ({"webhook-id": "another"}, BODY, 0, "no signature fits"),
        ({"webhook-timestamp": "1614265331"}, BODY, 0, "no signature fits"),
        ({"webhook-signature": SIGNATURE.replace("v1", "v2")}, BODY, 0, "no signature fits"),
        ({"webhook-signature": SIGNATURE[:-2]}, BODY, 0, "no signature fits"),
        ({"webhook-signature": "v1,ğüş" * 9}, BODY, 0, "no signature fits"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(
    headers: dict[str, str], body: bytes, late: int, reason: str
) -> None:
    found = verify(Scheme.STANDARD, KEYS, HEADERS | headers, body, SENT + timedelta(seconds=late))
    assert found is not None
    assert reason in found


def test_one_of_several_signatures_and_one_of_several_keys_suffice() -> None:
    headers = HEADERS | {"webhook-signature": f"v1a,abc v1,aaaa {SIGNATURE}"}
    assert verify(Scheme.STANDARD, keys_of(Scheme.STANDARD, f"whsec_bmV3 {SECRET} "), headers, BODY, SENT) is None


def test_a_raw_secret_is_used_as_it_stands() -> None:
    signed = f"{ID}.1614265330.".encode() + BODY
    signature = base64.b64encode(hmac.digest(b"plain words", signed, "sha256")).decode()
    keys = keys_of(Scheme.STANDARD, "plain words")
    assert verify(Scheme.STANDARD, keys, HEADERS | {"webhook-signature": f"v1,{signature}"}, BODY, SENT) is None


@pytest.mark.parametrize("secret", ["", " \n", "whsec_", "whsec_***"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError):
        keys_of(Scheme.STANDARD, secret)


def test_githubs_signature_is_over_the_body() -> None:
    # GitHub's own example.
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    keys = keys_of(Scheme.GITHUB, "It's a Secret to Everybody")
    assert verify(Scheme.GITHUB, keys, {"x-hub-signature-256": signature}, b"Hello, World!", SENT) is None
    assert verify(Scheme.GITHUB, keys, {"x-hub-signature-256": signature.upper()}, b"Hello, World!", SENT) is None
    assert (
        verify(Scheme.GITHUB, keys, {"x-hub-signature-256": signature}, b"Hello, World?", SENT) == "no signature fits"
    )
    sha1 = "sha1=" + hmac.new(keys[0], b"Hello, World!", hashlib.sha1).hexdigest()
    assert verify(Scheme.GITHUB, keys, {"x-hub-signature": sha1}, b"Hello, World!", SENT) is not None
    assert verify(Scheme.GITHUB, keys, {"x-hub-signature-256": sha1}, b"Hello, World!", SENT) == "no signature fits"


@pytest.mark.parametrize(
    ("headers", "proved"),
    [
        ({"authorization": "Bearer s3cret"}, True),
        ({"authorization": "bearer  s3cret "}, True),
        ({"x-webhook-token": "s3cret"}, True),
        ({"x-webhook-token": "older"}, True),
        ({"authorization": "Basic s3cret"}, False),
        ({"authorization": "Bearer"}, False),
        ({"authorization": "Bearer s3cre"}, False),
        ({"authorization": "Bearer s3cret2"}, False),
        ({"x-webhook-token": "ğ"}, False),
        ({}, False),
    ],
)
def test_a_token_comes_in_a_header(headers: dict[str, str], proved: bool) -> None:
    keys = keys_of(Scheme.TOKEN, "s3cret\nolder\n")
    assert (verify(Scheme.TOKEN, keys, headers, b"", SENT) is None) is proved


def test_a_passphrase_is_one_key_and_not_its_words() -> None:
    assert keys_of(Scheme.TOKEN, "open the door\n") == (b"open the door",)
    assert len(keys_of(Scheme.STANDARD, f"{SECRET} {SECRET}")) == 2
    assert len(keys_of(Scheme.GITHUB, f"{SECRET} {SECRET}")) == 1


def test_scheme_none_asks_for_nothing() -> None:
    assert verify(Scheme.NONE, (), {}, b"", SENT) is None
