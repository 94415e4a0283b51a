"""YAML text to a document, within bounds.

The C parser's events are read one by one, so depth, nodes and aliases are counted before anything is built: no recursion, no
composer and no constructor ever sees what is over a bound. Everything that is wrong is a `Problem`; nothing here raises.
"""

from __future__ import annotations

from typing import Any

import yaml

from conwp_bot.documents.complaints import explain
from conwp_bot.documents.document import Document, Place, one_line
from conwp_bot.documents.encoding import LARGEST_FILE, decode, first_forbidden
from conwp_bot.documents.scalars import plain_value
from conwp_bot.model.problem import Problem

__all__ = ["LARGEST_FILE", "read_document"]

LARGEST_DEPTH = 50
LARGEST_COUNT = 100_000
MOST_ALIASES = 50
MOST_PROBLEMS = 50

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml: the same language, ten times slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


def read_document(source: bytes | str, file: str) -> tuple[Document | None, list[Problem]]:
    """Read one YAML document; `file` is what its problems are to call it.

    A document is returned whenever its shape could be read, even beside problems (a key given twice), so that a form can find
    further ones; it may be used only when none of them is an error. An empty text gives a document whose value is None.
    """
    text, problems = decode(source, file) if isinstance(source, bytes) else (source, [])
    if text is None:
        return None, problems
    if isinstance(source, str) and len(source) > LARGEST_FILE:
        return None, [Problem(file, 1, 1, "", "the file is larger than 1 MiB")]
    forbidden = first_forbidden(text, file)
    if forbidden is not None:
        return None, [forbidden]
    builder = _Builder(file)
    try:
        loader = _Loader(text)
        try:
            while type(event := loader.get_event()) is not yaml.StreamEndEvent:
                builder.take(event)
        finally:
            loader.dispose()
    except _Stopped:
        return None, builder.problems
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found = explain(error, text, file)
        if any(each.line == found.line for each in builder.problems):
            return None, builder.problems  # the same mistake, seen earlier and better
        return None, [*builder.problems, found]
    root = builder.root or (None, Place(0, 0, "", None))
    return Document(file, text, *root), builder.problems


class _Stopped(Exception):
    """The document broke a bound; its problem is noted."""


class _Frame:
    """A collection under construction."""

    __slots__ = ("anchor", "as_key", "count", "height", "key", "key_mark", "place", "value")

    def __init__(self, value: Any, place: Place, anchor: str | None, count: int, as_key: bool) -> None:
        self.value = value
        self.place = place
        self.anchor = anchor
        self.count = count  # nodes before it, to know how many it holds
        self.as_key = as_key
        self.height = 1
        self.key: str | None = None
        self.key_mark: tuple[int, int] | None = None


_UNUSABLE = ""  # stands for a key that was reported; `_Frame.key_mark` tells it from a real empty key


class _Builder:
    """Turns events into plain values and places, counting as it goes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: tuple[Any, Place] | None = None
        self._stack: list[_Frame] = []
        self._count = 0
        self._aliases = 0
        self._documents = 0
        self._anchors: dict[str, tuple[Any, Place, int, int] | None] = {}

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._begin(event, {} if kind is yaml.MappingStartEvent else [])
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._end()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._stop(event, "a second document begins here", "one file holds one document: remove the `---`")

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        self._check_node(event)
        if self._wants_key():
            self._key(event.value, event)
            return
        text = event.value
        plain = not event.style and event.implicit[0]
        value = plain_value(text) if plain else text
        place = Place(mark.line, mark.column, event.style or "", self._key_mark())
        if event.anchor:
            self._anchors[event.anchor] = (value, place, 1, 0)
        self._add(value, place, 0)

    def _begin(self, event: Any, value: Any) -> None:
        self._check_node(event)
        if len(self._stack) >= LARGEST_DEPTH:
            self._stop(event, f"nested deeper than {LARGEST_DEPTH} levels")
        as_key = self._wants_key()
        if as_key:
            self._collection_as_key(event, value)
        mark = event.start_mark
        place = Place(mark.line, mark.column, "", None if as_key else self._key_mark())
        place.children = {} if isinstance(value, dict) else []
        if event.anchor:
            self._anchors[event.anchor] = None  # known, but not complete: an alias to it now would be endless
        self._stack.append(_Frame(value, place, event.anchor, self._count - 1, as_key))

    def _end(self) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.value, frame.place, self._count - frame.count, frame.height)
        if frame.as_key:
            parent = self._stack[-1]
            parent.key, parent.key_mark = _UNUSABLE, None
        else:
            self._add(frame.value, frame.place, frame.height)

    def _alias(self, event: Any) -> None:
        self._aliases += 1
        if self._aliases > MOST_ALIASES:
            self._stop(event, f"more than {MOST_ALIASES} aliases (`*name`)", "write the values out")
        if self._wants_key():
            self._note(event, "an alias cannot be a key", f'quote it: "*{event.anchor}"')
            self._stack[-1].key, self._stack[-1].key_mark = _UNUSABLE, None
            return
        mark = event.start_mark
        place = Place(mark.line, mark.column, "", self._key_mark())
        target = self._anchors.get(event.anchor)
        if target is None:
            what = "contains itself" if event.anchor in self._anchors else "is not defined above"
            hint = f'a text that begins with * needs quotes: "*{event.anchor}"'
            self._note(event, f"the alias *{event.anchor} {what}", hint)
            self._count += 1
            self._add(None, place, 0)
            return
        value, _, count, height = target
        self._count += count
        self._check_count(event)
        if len(self._stack) + height > LARGEST_DEPTH:
            self._stop(event, f"nested deeper than {LARGEST_DEPTH} levels")
        self._add(value, place, height)

    def _key(self, text: str, event: Any) -> None:
        frame = self._stack[-1]
        mark = event.start_mark
        frame.key, frame.key_mark = text, (mark.line, mark.column)
        if text == "<<" and not event.style:
            self._note(event, "merge keys (`<<`) are not supported", "write the keys out")
            frame.key_mark = None
        elif text in frame.value:
            first = frame.place.children[text].key  # type: ignore[index,call-overload]
            line = first[0] + 1 if first else frame.place.line + 1
            self._note(event, f'the key "{text}" is given twice', f"it stands in line {line} already")
            frame.key_mark = None

    def _add(self, value: Any, place: Place, height: int) -> None:
        if not self._stack:
            self.root = (value, place)
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, list):
            frame.value.append(value)
            frame.place.children.append(place)  # type: ignore[union-attr]
            return
        if frame.key_mark is not None:
            frame.value[frame.key] = value
            frame.place.children[frame.key] = place  # type: ignore[index,call-overload]
        frame.key = None

    def _wants_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].key is None and isinstance(self._stack[-1].value, dict)

    def _key_mark(self) -> tuple[int, int] | None:
        return self._stack[-1].key_mark if self._stack else None

    def _check_node(self, event: Any) -> None:
        self._count += 1
        self._check_count(event)
        if event.tag is not None:
            self._note(event, f"tags are not supported ({_short_tag(event.tag)})", "quote a value to make it text")

    def _check_count(self, event: Any) -> None:
        if self._count > LARGEST_COUNT:
            self._stop(event, f"more than {LARGEST_COUNT} values in one file")

    def _collection_as_key(self, event: Any, value: Any) -> None:
        around, mark = self._stack[-1].place, event.start_mark
        if isinstance(value, dict) and (around.line, around.column + 1) == (mark.line, mark.column):
            hint = 'put the whole value into quotes: "{{ … }}"'
            self._note_at(around.line, around.column, "a value that begins with {{ needs quotes", hint)
        else:
            self._note(event, f"a {'mapping' if isinstance(value, dict) else 'list'} cannot be a key")

    def _note(self, event: Any, message: str, hint: str | None = None) -> None:
        self._note_at(event.start_mark.line, event.start_mark.column, message, hint)

    def _note_at(self, line: int, column: int, message: str, hint: str | None) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            hint = one_line(hint, 200) if hint else None
            self.problems.append(Problem(self.file, line + 1, column + 1, "", one_line(message, 200), hint))

    def _stop(self, event: Any, message: str, hint: str | None = None) -> None:
        self._note(event, message, hint)
        raise _Stopped


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:60]
