"""The fields of a flow as things to render: checked now, compiled when first used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.flow import Condition, Scope, Text, Value
from conwp_bot.flows.render.bounds import shorten
from conwp_bot.flows.render.check import Uses
from conwp_bot.flows.render.code import evaluate, render_text
from conwp_bot.flows.render.kinds import describe
from conwp_bot.flows.render.parse import Kind, analyse, is_single
from conwp_bot.flows.render.paths import Path
from conwp_bot.flows.render.problem import TemplateProblem

_NOTHING = Uses()
_DEEPEST = 20


def compile_text(source: str, *, field: str) -> Text:
    """Check a text field; raises TemplateProblem. A text without a brace is itself, and never sees jinja."""
    if "{" not in source:
        return ConstantText(source)
    return TemplateText(source, field, analyse(source, Kind.TEXT))


def compile_expression(source: str, *, field: str) -> Value:
    """Check an expression, which stands without braces; raises TemplateProblem."""
    return Expression(source, field, Kind.EXPRESSION, analyse(source, Kind.EXPRESSION))


def compile_condition(source: str, *, field: str) -> Condition:
    """Check an expression that must give true or false; raises TemplateProblem."""
    return ExpressionCondition(source, field, analyse(source, Kind.EXPRESSION))


def compile_value(source: Any, *, field: str) -> Value:
    """Check a value as YAML gave it; raises TemplateProblem, whose message names the element if it is within a list or mapping.

    A text is a template; one that is exactly `{{ … }}` keeps its value's type. Lists and mappings are made element by element,
    keys as they stand. Other single values are constants.
    """
    return _compile_value(source, field, 0)


def names_used(compiled: Text | Value | Condition) -> frozenset[str]:
    """Return the root names that a compiled thing takes from its scope, those of functions (GLOBAL_NAMES) among them."""
    return _uses(compiled).names


def paths_used(compiled: Text | Value | Condition) -> frozenset[Path]:
    """Return the whole paths that must exist for it: `("event", "payload", "name")`. What `default` or `is defined` guards is left out,
    as is what follows a computed key."""
    return _uses(compiled).paths


def _uses(compiled: Any) -> Uses:
    uses = getattr(compiled, "uses", None)
    if not isinstance(uses, Uses):
        raise TypeError(f"{type(compiled).__name__} was not made by compile_text and its like")
    return uses


def _compile_value(source: Any, field: str, depth: int) -> Value:
    if depth > _DEEPEST:
        raise TemplateProblem(f"the value is nested deeper than {_DEEPEST} levels")
    if isinstance(source, str):
        if "{" not in source:
            return ConstantValue(source)
        if is_single(source):
            return Expression(source, field, Kind.SINGLE, analyse(source, Kind.SINGLE))
        return TemplateValue(source, field, analyse(source, Kind.TEXT))
    if isinstance(source, Mapping):
        pairs = {str(key): _element(part, f"{field}.{key}", depth) for key, part in source.items()}
        return MappingValue(pairs, Uses.of_all(_uses(value) for value in pairs.values()))
    if isinstance(source, (list, tuple)):
        values = tuple(_element(part, f"{field}[{place}]", depth) for place, part in enumerate(source))
        return ListValue(values, Uses.of_all(_uses(value) for value in values))
    if source is None or isinstance(source, (bool, int, float, Decimal, date, time, timedelta)):
        return ConstantValue(source)
    raise TemplateProblem(f"{describe(source)} cannot be a value")


def _element(source: Any, field: str, depth: int) -> Value:
    try:
        return _compile_value(source, field, depth + 1)
    except TemplateProblem as problem:
        if problem.args[0].startswith(field):
            raise
        message = f"{field}: {problem.message}"
        raise TemplateProblem(message, line=problem.line, column=problem.column, hint=problem.hint) from None


@dataclass(frozen=True, slots=True)
class ConstantText:
    """A text without tags."""

    source: str
    uses: Uses = _NOTHING

    def render(self, scope: Scope) -> str:  # noqa: ARG002 - the protocol's
        return self.source


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A text with tags."""

    source: str
    field: str
    uses: Uses

    def render(self, scope: Scope) -> str:
        return render_text(self.source, self.field, scope)


@dataclass(frozen=True, slots=True)
class TemplateValue:
    """A text with tags, as a value."""

    source: str
    field: str
    uses: Uses

    def evaluate(self, scope: Scope) -> Any:
        return render_text(self.source, self.field, scope)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, bare or as the only content of a text."""

    source: str
    field: str
    kind: Kind
    uses: Uses

    def evaluate(self, scope: Scope) -> Any:
        return evaluate(self.source, self.kind, self.field, scope)


@dataclass(frozen=True, slots=True)
class ExpressionCondition:
    """An expression that must give true or false."""

    source: str
    field: str
    uses: Uses

    def holds(self, scope: Scope) -> bool:
        verdict = evaluate(self.source, Kind.EXPRESSION, self.field, scope)
        if isinstance(verdict, bool):
            return verdict
        source = shorten(self.source.strip(), 60)
        raise RenderFailed(
            f"{self.field}: `{source}` gives {_what(verdict)}, and a condition must give true or false; {_how(verdict, source)}"
        )


@dataclass(frozen=True, slots=True)
class ConstantValue:
    """A value that is written out."""

    value: Any
    uses: Uses = _NOTHING

    @property
    def source(self) -> str:
        return self.value if isinstance(self.value, str) else json.dumps(self.value, default=str, ensure_ascii=False)

    def evaluate(self, scope: Scope) -> Any:  # noqa: ARG002 - the protocol's
        return self.value


@dataclass(frozen=True, slots=True)
class ListValue:
    """A list, made element by element."""

    values: tuple[Value, ...]
    uses: Uses

    @property
    def source(self) -> str:
        return f"[{', '.join(value.source for value in self.values)}]"

    def evaluate(self, scope: Scope) -> Any:
        return [value.evaluate(scope) for value in self.values]


@dataclass(frozen=True, slots=True)
class MappingValue:
    """A mapping, made entry by entry."""

    values: Mapping[str, Value]
    uses: Uses

    @property
    def source(self) -> str:
        return "{" + ", ".join(f"{key}: {value.source}" for key, value in self.values.items()) + "}"

    def evaluate(self, scope: Scope) -> Any:
        return {key: value.evaluate(scope) for key, value in self.values.items()}


def _what(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{shorten(value, 40)}"'
    if isinstance(value, (int, float, Decimal)):
        return f"the number {shorten(str(value), 30)}"
    return describe(value)


def _how(value: Any, source: str) -> str:
    if isinstance(value, str):
        return (
            f'compare it, e.g. `{source} == "{shorten(value, 20)}"`' if value else f'compare it, e.g. `{source} != ""`'
        )
    if isinstance(value, (int, float, Decimal)):
        return f"compare it, e.g. `{source} > 0`"
    if value is None:
        return f"write `{source} is not none`"
    if isinstance(value, (list, Mapping)):
        return f"write `{source} | length > 0`"
    return "compare it"
