"""Names and keys that do not exist: harmless to ask about, an error to use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from jinja2 import StrictUndefined
from jinja2.runtime import Undefined
from jinja2.utils import missing as nothing

from conwp_bot.flows.render.bounds import shorten
from conwp_bot.flows.render.kinds import describe
from conwp_bot.model.problem import near_miss

_KEYS_LOOKED_AT = 200
_KEYS_SHOWN = 8


class MissingUsed(Exception):
    """Something that does not exist was used."""

    def __init__(self, what: Missing) -> None:
        super().__init__("something that does not exist was used")
        self.what = what


class Missing(StrictUndefined):
    """What stands for a value that is not there.

    `is defined` and `default` may look at it, and a further `.name` on it is missing too (so `a.b.c | default("x")` works
    whichever of them is absent); everything else raises MissingUsed, which names the first absent link.
    """

    __slots__ = ("_path",)

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = nothing,
        name: Any = None,
        exc: Any = None,  # noqa: ARG002 - jinja's signature
        path: str | None = None,
    ) -> None:
        super().__init__(hint, obj, name)
        self._path = path

    def _fail(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise MissingUsed(self)

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)  # Python asks for protocols this way
        raise MissingUsed(self)

    # Each operation that jinja's class answers with its own error.
    __iter__ = __str__ = __len__ = __eq__ = __ne__ = __bool__ = __hash__ = __contains__ = _fail
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _fail
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __pos__ = __neg__ = _fail
    __call__ = __getitem__ = __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __complex__ = _fail

    def explain(self, known: Iterable[str]) -> str:
        """Say what is missing where, with the nearest name; `known` are the names of the whole scope."""
        if self._undefined_hint:
            return self._undefined_hint
        name = self._undefined_name
        if self._undefined_obj is nothing:
            return _with_hint(f'there is no "{shorten(str(name))}" here', str(name), known)
        return _explain_part(self._undefined_obj, name, self._path)


def is_missing(value: Any) -> bool:
    """Say whether a value is one of ours or jinja's undefined."""
    return isinstance(value, Undefined)


def require(*values: Any) -> None:
    """Raise MissingUsed for the first value that does not exist."""
    for value in values:
        if isinstance(value, Missing):
            raise MissingUsed(value)


def _explain_part(owner: Any, name: Any, path: str | None) -> str:
    where = path or describe(owner)
    if isinstance(owner, Mapping):
        if not isinstance(name, str):
            return f"{where} has no key {shorten(str(name))}; keys of a JSON object are texts"
        keys = [key for key in list(owner)[:_KEYS_LOOKED_AT] if isinstance(key, str) and len(key) <= 60]
        return _with_hint(f'{where} has no "{shorten(name)}"', name, keys)
    if owner is None:
        return f'{where} is none, so it has no "{shorten(str(name))}"; ask `is none` first, or write `| default(…)`'
    if isinstance(owner, (list, tuple, range)):
        if isinstance(name, int):
            return f"{where} has no element {name}: it has {len(owner)} (the first is 0)"
        return f'{where} is a list and has no "{shorten(str(name))}"; take one element ([0], `| first`) or loop over it'
    if isinstance(owner, str) and isinstance(name, int):
        return f"{where} has no character {name}: it has {len(owner)}"
    return f'{where} is {describe(owner)} and has no "{shorten(str(name))}"'


def _with_hint(sentence: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = near_miss(name, names) if len(name) <= 60 else None
    if near:
        return f"{sentence}; {near}"
    if not names:
        return f"{sentence}; it is empty"
    shown = ", ".join(shorten(key, 30) for key in sorted(names)[:_KEYS_SHOWN])
    return f"{sentence}; there is: {shown}{' …' if len(names) > _KEYS_SHOWN else ''}"
