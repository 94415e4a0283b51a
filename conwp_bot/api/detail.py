"""What the provider said, made fit for a stored row, a log line and a page: one line, short, without the key."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

LONGEST = 300
"""Characters of a detail, at most."""

Redact = Callable[[str], str]
"""Takes the key out of a text."""

_LOOKED_AT = 8192  # characters of an answer from which a detail is made
_WORDS = ("message", "error", "errors", "error_message", "detail", "reason", "msg", "description", "status")
_UNSEEN_HTML = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")


def redactor(key: str) -> Redact:
    """Return what takes `key` out of a text, also as a URL, JSON or HTML would spell it, in any case of letters."""
    if not key:
        return lambda text: text
    spellings = {
        key,
        quote(key, safe=""),
        quote_plus(key),
        html.escape(key),
        json.dumps(key)[1:-1],
        key.replace("/", "\\/"),
    }
    pattern = re.compile("|".join(re.escape(one) for one in sorted(spellings, key=len, reverse=True)), re.IGNORECASE)
    return lambda text: pattern.sub("***", text)


def one_line(text: str, redact: Redact) -> str:
    """Return `text` without the key, control characters and line breaks, shortened to LONGEST characters."""
    # Redacted before it is cut, so that no half of a key is left at the edge, and after the control characters are gone,
    # so that none of them hides a key from the first pass.
    text = redact(text)[:_LOOKED_AT]
    text = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)
    text = redact(" ".join(text.split()))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def said(document: Mapping[str, Any] | None, text: str, redact: Redact) -> str:
    """Return what an answer says to a person: an object's own words where it has some, an HTML page's text, or the beginning."""
    if document is not None:
        words = _own_words(document)
        return one_line(words or as_json(document), redact)
    text = redact(text)[: 4 * _LOOKED_AT]
    if _TAG.search(text):
        text = html.unescape(_TAG.sub(" ", _UNSEEN_HTML.sub(" ", text)))
    return one_line(text, redact)


def as_json(document: Mapping[str, Any]) -> str:
    """Return an object as JSON text, for a detail."""
    try:
        return json.dumps(document, ensure_ascii=False)
    except RecursionError:  # what could just be read may be too deep to be written
        return "an object nested too deeply to show"


def pointed_at(location: str, redact: Redact) -> str:
    """Return where a redirect points, without its query, fragment and credentials."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "a place that is no URL"
    host = parts.netloc.rpartition("@")[2]
    place = (f"{parts.scheme}://" if parts.scheme else "//" if host else "") + host + parts.path
    return one_line(place, redact) or "nowhere"


def _own_words(document: Mapping[str, Any]) -> str:
    for name in _WORDS:
        value = document.get(name)
        if isinstance(value, Mapping):
            value = next((value[word] for word in _WORDS if isinstance(value.get(word), str)), None)
        elif isinstance(value, list):
            value = "; ".join(one for one in value if isinstance(one, str))
        if isinstance(value, str) and value.strip():
            return value
    return ""
