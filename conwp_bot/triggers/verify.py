"""Whether a webhook comes from whom it says. Pure; compares in constant time.

The reasons are for the log: the sender gets the same answer for each of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from conwp_bot.flows.flow import Scheme

TOLERANCE_SECONDS = 300
"""How far a signed timestamp may be from now, either way (Standard Webhooks)."""

_MOST_SIGNATURES = 20
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def keys_of(scheme: Scheme, secret: str) -> tuple[bytes, ...]:
    """Return the keys in a secret: several, for rotation, stand on lines of their own; `whsec_` keys may also stand beside each other.

    Blanks separate nothing else, or a passphrase would become several keys that are easily guessed. A `whsec_` key of the standard scheme
    is base64; raises ValueError when it is not, and when there is no key at all.
    """
    texts = secret.split() if scheme is Scheme.STANDARD and _all_marked(secret) else map(str.strip, secret.splitlines())
    keys = tuple(filter(None, (_key(scheme, text) for text in texts)))
    if not keys:
        raise ValueError("the secret is empty")
    return keys


def _all_marked(secret: str) -> bool:
    return all(text.startswith("whsec_") for text in secret.split())


def _key(scheme: Scheme, text: str) -> bytes:
    if scheme is not Scheme.STANDARD or not text.startswith("whsec_"):
        return text.encode()
    encoded = text.removeprefix("whsec_")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ValueError("the secret begins with whsec_, but what follows is no base64") from None


def verify(scheme: Scheme, keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
    """Return None when the request is proved, or the reason why it is not. `headers` by lower-case name; `now` is aware."""
    match scheme:
        case Scheme.NONE:
            return None
        case Scheme.STANDARD:
            return _standard(keys, headers, body, now)
        case Scheme.GITHUB:
            return _github(keys, headers, body)
        case Scheme.TOKEN:
            return _token(keys, headers)


def _standard(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
    identity, timestamp, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not identity or not timestamp or not given:
        return "a webhook-id, webhook-timestamp or webhook-signature header is missing"
    if not _TIMESTAMP.fullmatch(timestamp):
        return "webhook-timestamp is no number of seconds"
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        return "webhook-timestamp is more than 5 minutes from now"
    signed = b".".join((_bytes(identity), timestamp.encode(), body))
    expected = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    signatures = [_bytes(text[3:]) for text in given.split(" ")[:_MOST_SIGNATURES] if text.startswith("v1,")]
    return None if _any_equal(expected, signatures) else "no signature fits"


def _github(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes) -> str | None:
    given = headers.get("x-hub-signature-256", "")
    if not given:
        return "the x-hub-signature-256 header is missing"
    expected = [b"sha256=" + hmac.digest(key, body, "sha256").hex().encode() for key in keys]
    return None if _any_equal(expected, [_bytes(given.lower())]) else "no signature fits"


def _token(keys: Sequence[bytes], headers: Mapping[str, str]) -> str | None:
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if kind.lower() == "bearer" else headers.get("x-webhook-token", "").strip()
    if not given:
        return "neither authorization: bearer nor x-webhook-token has a token"
    # Digests, so that not even the length of the token shows.
    expected = [hashlib.sha256(key).digest() for key in keys]
    return None if _any_equal(expected, [hashlib.sha256(_bytes(given)).digest()]) else "the token is another"


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Compare each with each, always all of them."""
    found = False
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found


def _bytes(header: str) -> bytes:
    # Header values come as Latin-1: so they become what was on the wire again.
    return header.encode("latin-1", "replace")
