"""Templates and expressions of a flow, compiled; what is wrong with one becomes a problem at its own place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from conwp_bot.documents.document import Document, Path, Position
from conwp_bot.documents.form import MOST_PROBLEMS
from conwp_bot.errors import RenderFailed
from conwp_bot.flows.flow import Condition, Scope, Text, Value
from conwp_bot.flows.render import (
    GLOBAL_NAMES,
    TemplateProblem,
    compile_condition,
    compile_expression,
    compile_text,
    compile_value,
    names_used,
    paths_used,
)
from conwp_bot.model.problem import Problem, Severity, near_miss

EVENT_NAMES = frozenset({"event", "vars", "flow"})
"""What a webhook's `key` and the flow's `vars` see: there is no run yet."""

RUN_NAMES = EVENT_NAMES | {"steps", "run"}
"""What everything else sees, beside the loops' names and the functions."""

_JINJA_WORDS = "true false none True False None and or not in is if else loop self super varargs kwargs caller"

RESERVED_NAMES = RUN_NAMES | GLOBAL_NAMES | {"events", "contacts", *_JINJA_WORDS.split()}
"""What no loop may call its item."""

EVENT_KEYS = frozenset(
    ("id", "kind", "trigger", "occurred_at", "scheduled_at", "payload", "headers", "query", "file", "rows")
)
"""What events of any kind bring."""

_METHODS = frozenset({"items", "keys", "values", "get"})  # of every mapping

_MOST_UNKNOWN = 10  # of one field
_MOST_COMPARED = 1000  # names that a misspelt one is compared with

# A tag ends before the next begins, so that a row of openings costs no more than its length.
_TAG = re.compile(r"\{\{(?:(?!\{\{).)*?\}\}|\{%(?:(?!\{%).)*?%\}", re.DOTALL)

F = TypeVar("F", Text, Value, Condition)


class Broken:
    """Stands where a field could not be compiled; its flow is never used."""

    @property
    def source(self) -> str:
        return ""

    def _failure(self, scope: Scope) -> RenderFailed:
        return RenderFailed(f"the field has a problem ({len(scope)} names in sight)")

    def render(self, scope: Scope) -> str:
        raise self._failure(scope)

    def evaluate(self, scope: Scope) -> Any:
        raise self._failure(scope)

    def holds(self, scope: Scope) -> bool:
        raise self._failure(scope)


class Fields:
    """Compiles the fields of one document, and collects what is wrong. `names` are the root names that a field may use."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.suggestions: dict[str, str] = {}
        """Names that are seen under another: `total` -> `vars.total`."""
        self.keys: dict[str, frozenset[str]] = {"event": EVENT_KEYS}
        """What is known to be under a name: the vars, the steps' ids, the columns of a loop over the event's rows."""

    def note(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        severity: Severity = Severity.ERROR,
        key: bool = False,
        at: Position | None = None,
    ) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(self.document.problem(path, message, hint, severity=severity, key=key, at=at))

    def text(self, path: Path, source: str, names: frozenset[str]) -> Text:
        return self._compiled(compile_text, path, source, names)

    def expression(self, path: Path, source: str, names: frozenset[str]) -> Value:
        if self._has_braces(path, source):
            return Broken()
        return self._compiled(compile_expression, path, source, names)

    def condition(self, path: Path, source: str, names: frozenset[str]) -> Condition:
        if self._has_braces(path, source):
            return Broken()
        return self._compiled(compile_condition, path, source, names)

    def value(self, path: Path, source: Any, names: frozenset[str]) -> Value:
        """Compile a `set` or `vars` value: text is a template, everything else is taken as it is, templates inside it too."""
        try:
            made: Value = compile_value(source, field=self.document.show(path))
        except TemplateProblem as first:
            wrong = [
                (where, leaf, error) for where, leaf in _leaves(path, source) if (error := self._error_of(where, leaf))
            ]
            for where, leaf, error in wrong or [(path, "", first)]:
                self._note_template(where, leaf, error)
            return Broken()
        self._check_names(made, path, source, names)
        return made

    def named_values(self, path: Path, values: dict[str, Any], names: frozenset[str]) -> dict[str, Value]:
        """Compile a mapping of names to values."""
        for name in values:
            if not name.isidentifier():
                hint = "letters, digits and _, no blank and no -, not beginning with a digit"
                self.note((*path, name), f'"{name[:40]}" is no name', hint, key=True)
        return {name: self.value((*path, name), value, names) for name, value in values.items()}

    def note_at(
        self,
        path: Path,
        source: str,
        index: int,
        message: str,
        hint: str | None = None,
        *,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem at an index of the text `source` that stands at `path`."""
        self.note(path, message, hint, severity=severity, at=self._place(path, source, index))

    def _compiled(self, compiler: Callable[..., F], path: Path, source: str, names: frozenset[str]) -> F | Broken:
        try:
            made = compiler(source, field=self.document.show(path))
        except TemplateProblem as error:
            self._note_template(path, source, error)
            return Broken()
        self._check_names(made, path, source, names)
        return made

    def _check_names(self, made: Text | Value | Condition, path: Path, source: Any, names: frozenset[str]) -> None:
        """Report the names that a field uses and its run would not find."""
        if len(self.problems) >= MOST_PROBLEMS:
            return
        for name in sorted(names_used(made) - names - GLOBAL_NAMES)[:_MOST_UNKNOWN]:
            for where, leaf, found in _mentions(path, source, rf"{re.escape(name)}(?!\w)"):
                self._unknown(where, leaf, name, names, found)
        missing = {
            used[:2] for used in paths_used(made) if len(used) > 1 and used[0] in names and self._lacks(*used[:2])
        }
        for root, key in sorted(missing)[:_MOST_UNKNOWN]:
            self._unknown_key(path, source, root, key, self.keys[root])

    def _lacks(self, root: str, key: str) -> bool:
        known = self.keys.get(root)
        return known is not None and key not in known and key not in _METHODS

    def _error_of(self, path: Path, leaf: str) -> TemplateProblem | None:
        try:
            compile_value(leaf, field=self.document.show(path))
        except TemplateProblem as error:
            return error
        return None

    def _note_template(self, path: Path, source: str, error: TemplateProblem) -> None:
        at = self.document.inside(path, source, error.line, error.column)
        self.note(path, error.message, error.hint, at=at)

    def _has_braces(self, path: Path, source: str) -> bool:
        begin = source.find("{{") if "{{" in source else source.find("{%")
        if begin < 0:
            return False
        bare = source.strip().removeprefix("{{").removesuffix("}}").strip()
        hint = f"write {bare}" if len(bare) <= 80 and "{" not in bare and "}" not in bare and "\n" not in bare else None
        self.note(path, "an expression is written without braces", hint, at=self._place(path, source, begin))
        return True

    def _unknown(self, path: Path, source: str, name: str, names: frozenset[str], found: int) -> None:
        if name in self.suggestions:
            hint = f'did you mean "{self.suggestions[name]}"?'
        else:
            hint = near_miss(name, [*names, *GLOBAL_NAMES]) or f"known here: {', '.join(sorted(names))}"
        self.note_at(path, source, found, f'unknown name "{name}"', hint)

    def _unknown_key(self, path: Path, source: Any, root: str, key: str, known: frozenset[str]) -> None:
        # What an event or a row brings is known from its trigger only; somebody may fire the flow by hand with more.
        severity = Severity.ERROR if root in RUN_NAMES and root != "event" else Severity.WARNING
        listed = ", ".join(sorted(known)[:20])
        hint = near_miss(key, sorted(known)[:_MOST_COMPARED]) or (f"known there: {listed}" if listed else None)
        spelling = rf"{re.escape(root)}\s*(?:\.\s*|\[\s*['\"]){re.escape(key)}(?!\w)"
        for where, leaf, found in _mentions(path, source, spelling):
            self.note_at(where, leaf, found, f'there is no "{key}" in {root}', hint, severity=severity)

    def _place(self, path: Path, source: str, index: int) -> Position:
        before = source[:index]
        return self.document.inside(path, source, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """Yield every text inside a value with its path; a document is at most 50 levels deep."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves((*path, key), each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves((*path, index), each)


def _mentions(path: Path, source: Any, spelling: str) -> list[tuple[Path, str, int]]:
    """Return where each text within a field's source first spells a name, inside its tags if it has any; never nothing."""
    pattern = re.compile(rf"(?<![\w.]){spelling}")
    found = []
    for where, leaf in _leaves(path, source):
        spans = [tag.span() for tag in _TAG.finditer(leaf)] or [(0, len(leaf))]
        match = next((match for begin, end in spans if (match := pattern.search(leaf, begin, end))), None)
        if match is not None:
            found.append((where, leaf, match.start()))
    return found or [(path, source if isinstance(source, str) else "", 0)]
