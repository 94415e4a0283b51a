"""From an index in a scalar's value back to where it stands in the source: through quotes, escapes and folded lines."""

from __future__ import annotations

_BREAKS = "\n\r\x85\u2028\u2029"
_BLANK = " \t" + _BREAKS
_ESCAPES = {"x": 4, "u": 6, "U": 10}  # the length of `\xNN` and its kin; every other escape is two characters


def source_offset(text: str, start: int, style: str, value: str, target: int) -> int:
    """Return the offset in `text` of `value[target]`, for the scalar of `style` that begins at `start`.

    Walks both side by side, so it costs no more than the scalar's length. It never raises; where they do not fit together it
    answers with the last place that did.
    """
    at = start
    if style in ("'", '"'):
        at += 1
    elif style == ">":
        while at < len(text) and text[at] not in _BREAKS:
            at += 1  # the header; the fold after it is skipped as blank below
        at = _skip_blank(text, at)
    index = 0
    if style == ">":
        while index < target and value[index] in _BLANK:
            index += 1
    while index < target and at < len(text):
        char = text[at]
        if style == '"' and char == "\\":
            follower = text[at + 1 : at + 2]
            if follower and follower in _BREAKS:
                at = _skip_blank(text, at + 1)
            else:
                at += _ESCAPES.get(follower, 2)
                index += 1
        elif style == "'" and text.startswith("''", at):
            at += 2
            index += 1
        elif char in _BLANK:
            end = _skip_blank(text, at)
            breaks = _count_breaks(text[at:end])
            if breaks == 0:
                at += 1
                index += 1
            elif style == ">":
                at = end
                while index < len(value) and value[index] in _BLANK:
                    index += 1
            else:
                at = end
                index += 1 if breaks == 1 else breaks - 1
        else:
            at += 1
            index += 1
    return min(at, len(text))


def _skip_blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _count_breaks(run: str) -> int:
    return sum(run.count(each) for each in _BREAKS) - run.count("\r\n")
