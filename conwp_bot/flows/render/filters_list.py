"""Filters for lists and mappings. They give lists (not one-way streams), so that `| length` and `| first` work on what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conwp_bot.flows.render.access import attribute_of, item_of
from conwp_bot.flows.render.arithmetic import add_exactly, compute
from conwp_bot.flows.render.bounds import MAX_RANGE, Refusal, shorten
from conwp_bot.flows.render.callee import Callee
from conwp_bot.flows.render.kinds import LISTS, NUMBERS, describe, is_scalar
from conwp_bot.flows.render.missing import Missing, is_missing, require
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.flows.render.text import bounded_join, elements
from conwp_bot.flows.render.turkish import tr_sort_key


def pick(context: Rendering, item: Any, attribute: Any) -> Any:
    """Return `item.a.b` for the attribute `"a.b"` (or an element, for a number); Missing when it is not there."""
    context.charge(1)
    if isinstance(attribute, int):
        return item_of(item, attribute, "the item")
    if not isinstance(attribute, str) or not attribute or attribute.count(".") > 10:
        raise Refusal('an attribute is given as a text such as "name" or "customer.name"')
    for part in attribute.split("."):
        item = item_of(item, int(part), "the item") if part.isdecimal() else attribute_of(item, part, "the item")
    if type(item) is Callee:
        raise Refusal(f'"{shorten(attribute)}" is a function, not an attribute')
    return item


def _picked(context: Rendering, value: Any, attribute: Any, what: str) -> list[Any]:
    items = elements(context, value, what)
    if attribute is not None:
        items = [pick(context, item, attribute) for item in items]
    require(*items)
    return items


def _key(context: Rendering, value: Any, case_sensitive: bool, what: str) -> Any:
    if not is_scalar(value):
        raise Refusal(f"{what} takes texts, numbers or dates, not {describe(value)}; name the attribute")
    if isinstance(value, str) and not case_sensitive:
        context.charge(len(value) >> 7)
        turkish = context.settings.locale.startswith("tr")
        return tr_sort_key(value) if turkish else value.casefold()
    return value


def _ordered(
    context: Rendering, pairs: list[tuple[Any, Any]], reverse: bool, case_sensitive: bool, what: str
) -> list[tuple[Any, Any]]:
    keyed = [(_key(context, key, case_sensitive, what), value) for key, value in pairs]
    context.charge(len(keyed) >> 1)
    try:
        return sorted(keyed, key=lambda pair: pair[0], reverse=reverse)
    except TypeError:
        raise Refusal(f"{what}: not all values are of one kind") from None


def first(_context: Rendering, value: Any, /) -> Any:
    """Return the first element; missing (so that `default` helps) for an empty list."""
    return _at(value, 0, "first")


def last(_context: Rendering, value: Any, /) -> Any:
    """Return the last element; missing for an empty list."""
    return _at(value, -1, "last")


def _at(value: Any, place: int, what: str) -> Any:
    if isinstance(value, Mapping):
        value = list(value)
    if not isinstance(value, (*LISTS, str)):
        raise Refusal(f"{what} takes a list, not {describe(value)}")
    return value[place] if len(value) else Missing(f"there is no {what} element: the list is empty")


def to_list(context: Rendering, value: Any, /) -> list[Any]:
    """Return the elements as a list: a mapping's keys, a text's letters."""
    if isinstance(value, str):
        context.charge(len(value) >> 2)
        return list(value)
    return elements(context, value, "list")


def reverse(context: Rendering, value: Any, /) -> Any:
    """Turn a list or a text round."""
    return value[::-1] if isinstance(value, str) else elements(context, value, "reverse")[::-1]


def sort(
    context: Rendering, value: Any, /, reverse: Any = False, case_sensitive: Any = False, attribute: Any = None
) -> list[Any]:
    """Sort, by an attribute if given; texts in the flow's alphabet when it is Turkish, regardless of case unless asked for."""
    items = elements(context, value, "sort")
    keys = items if attribute is None else [pick(context, item, attribute) for item in items]
    require(*keys)
    pairs = list(zip(keys, items, strict=True))
    return [item for _, item in _ordered(context, pairs, bool(reverse), bool(case_sensitive), "sort")]


def unique(context: Rendering, value: Any, /, case_sensitive: Any = False, attribute: Any = None) -> list[Any]:
    """Drop the elements that occurred before."""
    items = elements(context, value, "unique")
    keys = items if attribute is None else [pick(context, item, attribute) for item in items]
    require(*keys)
    seen: dict[Any, Any] = {}
    for key, item in zip(keys, items, strict=True):
        seen.setdefault(_key(context, key, bool(case_sensitive), "unique"), item)
    return list(seen.values())


def join(context: Rendering, value: Any, /, d: Any = "", attribute: Any = None) -> str:
    """Write the elements one after the other, with a text between them."""
    return bounded_join(context, _picked(context, value, attribute, "join"), d)


def total(context: Rendering, value: Any, /, attribute: Any = None, start: Any = 0) -> Any:
    """Add up numbers (or lengths of time), exactly."""
    result = start
    for item in _picked(context, value, attribute, "sum"):
        if not isinstance(result, NUMBERS) or not isinstance(item, NUMBERS):
            if isinstance(item, str):
                raise Refusal("sum takes numbers, not texts; read them first: `| map('float') | sum`")
            result = item if isinstance(result, int) and result == 0 else compute(context, "+", result, item)
        else:
            result = add_exactly(result, item)
    return result


def least(context: Rendering, value: Any, /, attribute: Any = None, case_sensitive: Any = False) -> Any:
    """Return the smallest element; missing for an empty list."""
    return _extreme(context, value, attribute, case_sensitive, "min", False)


def greatest(context: Rendering, value: Any, /, attribute: Any = None, case_sensitive: Any = False) -> Any:
    """Return the largest element; missing for an empty list."""
    return _extreme(context, value, attribute, case_sensitive, "max", True)


def _extreme(context: Rendering, value: Any, attribute: Any, case_sensitive: Any, what: str, largest: bool) -> Any:
    items = elements(context, value, what)
    keys = items if attribute is None else [pick(context, item, attribute) for item in items]
    require(*keys)
    pairs = _ordered(context, list(zip(keys, items, strict=True)), largest, bool(case_sensitive), what)
    return pairs[0][1] if pairs else Missing(f"there is no {what}: the list is empty")


def mapped(
    context: Rendering,
    value: Any,
    /,
    filter: Any = None,  # noqa: A002 - jinja's name for it
    *args: Any,
    attribute: Any = None,
    default: Any = None,
) -> list[Any]:
    """Apply a filter to each element (`map("tr_upper")`), or take an attribute of each (`map(attribute="name")`)."""
    items = elements(context, value, "map")
    if attribute is not None:
        if filter is not None:
            raise Refusal("map takes a filter or an attribute, not both")
        picked = [pick(context, item, attribute) for item in items]
        if default is not None:
            return [default if is_missing(item) or item is None else item for item in picked]
        require(*picked)
        return picked
    if not isinstance(filter, str):
        raise Refusal('map takes the name of a filter, or attribute="name"')
    apply = context.environment.apply
    return [apply(context, filter, item, *args) for item in items]


def _chooser(name: str, by_attribute: bool, wanted: bool) -> Callable[..., list[Any]]:
    def run(context: Rendering, value: Any, /, *args: Any) -> list[Any]:
        rest = list(args)
        if by_attribute and not rest:
            raise Refusal(f"{name} takes the name of an attribute")
        attribute = rest.pop(0) if by_attribute else None
        test = rest.pop(0) if rest else None
        if test is not None and not isinstance(test, str):
            raise Refusal(f'{name} takes the name of a test, such as "defined" or "eq"')
        chosen = []
        for item in elements(context, value, name):
            subject = item if attribute is None else pick(context, item, attribute)
            if test is None:
                verdict = not is_missing(subject) and bool(subject)
            elif is_missing(subject) and test not in ("defined", "undefined"):
                verdict = False
            else:
                verdict = context.environment.judge(context, test, subject, *rest)
            if verdict is wanted:
                chosen.append(item)
        return chosen

    run.__name__ = name
    return run


def batch(context: Rendering, value: Any, /, size: Any, fill_with: Any = None) -> list[list[Any]]:
    """Cut a list into lists of `size`; the last is filled up if a value for that is given."""
    if not isinstance(size, int) or not 1 <= size <= MAX_RANGE:
        raise Refusal("batch takes a whole number from 1")
    items = elements(context, value, "batch")
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    if parts and fill_with is not None:
        context.charge(size >> 2)
        parts[-1] += [fill_with] * (size - len(parts[-1]))
    return parts


def groupby(context: Rendering, value: Any, /, attribute: Any, default: Any = None) -> list[tuple[Any, list[Any]]]:
    """Group by an attribute: `{% for city, rows in orders | groupby("city") %}`, sorted by it."""
    groups: dict[Any, tuple[Any, list[Any]]] = {}
    for item in elements(context, value, "groupby"):
        key = pick(context, item, attribute)
        if default is not None and (is_missing(key) or key is None):
            key = default
        require(key)
        groups.setdefault(_key(context, key, False, "groupby"), (key, []))[1].append(item)
    return [group for _, group in _ordered(context, list(groups.items()), False, True, "groupby")]


def items(context: Rendering, value: Any, /) -> list[tuple[Any, Any]]:
    """Return the keys and values of a mapping as pairs."""
    if not isinstance(value, Mapping):
        raise Refusal(f"items takes a mapping, not {describe(value)}")
    context.charge(1 + (len(value) >> 2))
    return list(value.items())


def dictsort(
    context: Rendering, value: Any, /, case_sensitive: Any = False, by: Any = "key", reverse: Any = False
) -> list[tuple[Any, Any]]:
    """Return the keys and values of a mapping as pairs, sorted by `key` or `value`."""
    if by not in ("key", "value"):
        raise Refusal('dictsort sorts by "key" or "value"')
    place = 0 if by == "key" else 1
    pairs = [(pair[place], pair) for pair in items(context, value)]
    return [pair for _, pair in _ordered(context, pairs, bool(reverse), bool(case_sensitive), "dictsort")]


FILTERS: dict[str, Callable[..., Any]] = {
    "first": first,
    "last": last,
    "list": to_list,
    "reverse": reverse,
    "sort": sort,
    "unique": unique,
    "join": join,
    "sum": total,
    "min": least,
    "max": greatest,
    "map": mapped,
    "select": _chooser("select", False, True),
    "reject": _chooser("reject", False, False),
    "selectattr": _chooser("selectattr", True, True),
    "rejectattr": _chooser("rejectattr", True, False),
    "batch": batch,
    "groupby": groupby,
    "items": items,
    "dictsort": dictsort,
}
