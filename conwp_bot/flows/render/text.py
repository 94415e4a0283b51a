"""Operations that make texts out of texts, bounded before they are carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conwp_bot.flows.render.bounds import MAX_TEXT, Exhausted, Refusal
from conwp_bot.flows.render.kinds import describe
from conwp_bot.flows.render.plain import to_text
from conwp_bot.flows.render.rendering import Rendering


def need_text(value: Any, what: str) -> str:
    """Return a text, or refuse anything else."""
    if not isinstance(value, str):
        raise Refusal(f"{what} takes a text, not {describe(value)}")
    return value


def elements(context: Rendering, value: Any, what: str) -> list[Any]:
    """Return the elements of a list (a mapping's keys), charged for; a text is refused, since its letters are never meant."""
    if isinstance(value, (list, tuple, range)):
        context.charge(1 + (len(value) >> 2))
        return list(value)
    if isinstance(value, Mapping):
        context.charge(1 + (len(value) >> 2))
        return list(value)
    if isinstance(value, str):
        raise Refusal(f"{what} takes a list, not a text; to cut a text into pieces, write .split(…)")
    raise Refusal(f"{what} takes a list, not {describe(value)}")


def fits(length: int) -> None:
    """Refuse a text longer than any text may be."""
    if length > MAX_TEXT:
        raise Exhausted(f"a text would grow beyond {MAX_TEXT:,} characters")


def bounded_join(context: Rendering, parts: Any, between: str) -> str:
    """Join the parts, each written as in a message."""
    between = need_text(between, "join")
    texts = []
    length = 0
    for part in elements(context, parts, "join"):
        text = to_text(context, part)
        length += len(text) + len(between)
        fits(length)
        texts.append(text)
    context.charge(length >> 8)
    return between.join(texts)


def bounded_replace(context: Rendering, text: str, old: Any, new: Any, count: Any = -1) -> str:
    """Replace a text in a text; an empty `old` is refused."""
    old, new = need_text(old, "replace"), need_text(new, "replace")
    if not old:
        raise Refusal("replace takes what to look for, not an empty text")
    if count is None:
        count = -1
    if not isinstance(count, int):
        raise Refusal(f"replace takes a whole number of times, not {describe(count)}")
    found = text.count(old)
    times = found if count < 0 else min(found, count)
    fits(len(text) + times * (len(new) - len(old)))
    context.charge((len(text) + times * len(new)) >> 8)
    return text.replace(old, new, count)
