"""The render environment: jinja, with everything that runs in it ours.

It is jinja's immutable sandbox with its stock of filters, tests and functions taken out, and it does not rely on that sandbox's
block-lists: attributes, methods, operators, filters and calls are allow-lists, and whatever is not data of known types has neither
attributes nor calls. Stateless, so one instance serves all flows and threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jinja2 import pass_context
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conwp_bot.flows.render import arithmetic, filters_list, filters_locale, filters_text
from conwp_bot.flows.render.access import attribute_of, call, item_of, slice_of
from conwp_bot.flows.render.bounds import MAX_TEXT, Exhausted, Refusal, shorten
from conwp_bot.flows.render.callee import Callee
from conwp_bot.flows.render.codegen import EACH, Generator
from conwp_bot.flows.render.functions import FUNCTIONS
from conwp_bot.flows.render.kinds import describe, is_scalar
from conwp_bot.flows.render.missing import Missing, MissingUsed, require
from conwp_bot.flows.render.plain import to_text
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.flows.render.tests import TESTS
from conwp_bot.flows.render.text import elements

FILTERS: dict[str, Callable[..., Any]] = {**filters_text.FILTERS, **filters_list.FILTERS, **filters_locale.FILTERS}
_LOOK_AT_MISSING = frozenset({"default", "d"})
_ASK_ABOUT_MISSING = frozenset({"defined", "undefined"})


class RenderEnvironment(ImmutableSandboxedEnvironment):
    """See the module. Its methods are what generated code calls."""

    code_generator_class = Generator
    context_class = Rendering
    intercepted_binops = frozenset(arithmetic._OPERATORS)
    intercepted_unops = frozenset({"-", "+"})

    def __init__(self) -> None:
        super().__init__(
            undefined=Missing, autoescape=False, optimized=False, cache_size=0, auto_reload=False, finalize=_written
        )
        self.filters.clear()
        self.tests.clear()
        self.globals.clear()
        self.globals.update(FUNCTIONS)
        self.eval_context = EvalContext(self)

    # -- filters, tests, calls

    def apply(self, context: Rendering, name: str, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Apply a filter."""
        context.work -= 1
        if name == EACH:
            require(value)
            return Each(context, elements(context, value, "a loop"), *args)
        run = FILTERS.get(name)
        if run is None:
            raise Refusal(f'there is no filter "{shorten(name)}"')
        if type(value) is str:
            context.charge(len(value) >> 9)
        elif isinstance(value, Missing) and name not in _LOOK_AT_MISSING:
            raise MissingUsed(value)
        try:
            result = run(context, value, *args, **kwargs)
        except TypeError as error:
            raise _wrong_arguments("filter", name, run, args, kwargs, error) from None
        if type(result) is str and len(result) > MAX_TEXT:
            raise Exhausted(f"a text would grow beyond {MAX_TEXT:,} characters")
        return result

    def judge(self, context: Rendering, name: str, value: Any, /, *args: Any, **kwargs: Any) -> bool:
        """Apply a test."""
        context.charge(1)
        run = TESTS.get(name)
        if run is None:
            raise Refusal(f'there is no test "{shorten(name)}"')
        if name not in _ASK_ABOUT_MISSING:
            require(value, *args)
        try:
            return run(context, value, *args, **kwargs)
        except TypeError as error:
            raise _wrong_arguments("test", name, run, args, kwargs, error) from None

    def call(self, context: Context, callee: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call one of our functions or methods."""
        kwargs.pop("_loop_vars", None)  # the generator's own, for jinja's pass_context
        kwargs.pop("_block_vars", None)
        return call(_ours(context), callee, args, kwargs)

    # -- attributes and elements

    def getattr(self, obj: Any, attribute: str, path: str | None = None) -> Any:
        """Return `obj.attribute`."""
        return attribute_of(obj, attribute, path)

    def getitem(self, obj: Any, argument: Any, path: str | None = None) -> Any:
        """Return `obj[argument]`."""
        return item_of(obj, argument, path)

    def cut(self, context: Rendering, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """Return `value[start:stop:step]`."""
        return slice_of(context, value, start, stop, step)

    def key(self, value: Any) -> Any:
        """Return a key for a mapping."""
        require(value)
        if not is_scalar(value):
            raise Refusal(f"{describe(value)} is no key")
        return value

    # -- operators

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return arithmetic.compute(_ours(context), operator, left, right)

    def call_unop(self, _context: Context, operator: str, arg: Any) -> Any:
        return arithmetic.negate(operator, arg)

    def compare(self, context: Rendering, sign: str, left: Any, right: Any) -> Any:
        """Return the verdict of a comparison."""
        return arithmetic.compare(context, sign, left, right)

    def concatenate(self, context: Rendering, parts: tuple[Any, ...]) -> str:
        """Return `a ~ b`."""
        return arithmetic.concatenate(context, parts)

    # -- jinja's own gates: nothing above comes to them, and they are shut

    def is_safe_attribute(self, _obj: Any, _attr: str, _value: Any) -> bool:
        return False

    def is_safe_callable(self, obj: Any) -> bool:
        return type(obj) is Callee

    def wrap_str_format(self, _value: Any) -> Any:
        raise Refusal("texts cannot be formatted this way")


class Each:
    """A loop's list, which charges for every step; `cost` is the size of the loop's body."""

    __slots__ = ("_context", "_cost", "_items")

    def __init__(self, context: Rendering, items: list[Any], cost: int) -> None:
        self._context = context
        self._items = items
        self._cost = cost

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self._context.charge(self._cost)
            yield item


@pass_context
def _written(context: Context, value: Any, path: str | None = None) -> str:
    rendering = _ours(context)
    if value is None and path:
        raise Refusal(f'{path} is none, which is no text; write `{path} | default("…")`, or ask `is not none` first')
    text = value if type(value) is str else to_text(rendering, value)
    rendering.work -= 1
    rendering.write(len(text))
    return text


def _ours(context: Context) -> Rendering:
    assert isinstance(context, Rendering)
    return context


def _wrong_arguments(
    what: str, name: str, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: TypeError
) -> Refusal:
    try:
        signature_of(run).bind(None, None, *args, **kwargs)
    except TypeError as mismatch:
        return Refusal(f"{what} {name}: {mismatch}")
    return Refusal(f"{what} {name}: {shorten(str(error), 120)}")


@lru_cache(maxsize=256)
def signature_of(run: Callable[..., Any]) -> inspect.Signature:
    """Return a filter's or test's signature, its first two arguments being the rendering and the value."""
    return inspect.signature(run)
