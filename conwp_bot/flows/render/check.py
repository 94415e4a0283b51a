"""What a template may consist of, and which names it uses: one walk over jinja's tree, before anything is compiled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

from jinja2 import nodes

from conwp_bot.flows.render.bounds import MAX_BITS, MAX_DEPTH, MAX_LOOPS, MAX_STATEMENTS, Refusal, shorten
from conwp_bot.flows.render.environment import FILTERS, signature_of
from conwp_bot.flows.render.filters_locale import CHECKS
from conwp_bot.flows.render.paths import Path, path_of
from conwp_bot.flows.render.problem import TemplateProblem, place
from conwp_bot.flows.render.tests import TESTS
from conwp_bot.model.problem import near_miss

_EXPRESSIONS = (
    nodes.Const,
    nodes.TemplateData,
    nodes.Tuple,
    nodes.List,
    nodes.Dict,
    nodes.CondExpr,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.BinExpr,
    nodes.UnaryExpr,
)
_REFUSED: dict[type[nodes.Node], tuple[str, str, str]] = {
    nodes.Include: ("include", "{% include %} cannot be used here", "a message is written in one piece"),
    nodes.Extends: ("extends", "{% extends %} cannot be used here", "a message is written in one piece"),
    nodes.Block: ("block", "{% block %} cannot be used here", "a message is written in one piece"),
    nodes.Import: ("import", "{% import %} cannot be used here", "a message is written in one piece"),
    nodes.FromImport: ("import", "{% from … import %} cannot be used here", "a message is written in one piece"),
    nodes.Macro: ("macro", "macros cannot be used here", "use {% set %} for a piece of text that occurs twice"),
    nodes.CallBlock: ("call", "{% call %} cannot be used here", "there are no macros"),
    nodes.NSRef: (
        "set",
        "a name with a dot cannot be set",
        "to add up in a loop, write `| sum(attribute=…)` or `| selectattr(…)`",
    ),
    nodes.ScopedEvalContextModifier: (
        "autoescape",
        "{% autoescape %} has no use here",
        "messages are plain text, never HTML",
    ),
}
_GONE_FILTERS = {
    "attr": "write a dot: customer.name",
    "format": "join texts with ~, or write numbers with | number(2)",
    "safe": "messages are plain text: leave it out",
    "escape": "messages are plain text: leave it out",
    "e": "messages are plain text: leave it out",
    "forceescape": "messages are plain text: leave it out",
    "random": "a message must come out the same when a run is resumed",
    "strftime": 'write | date("d MMMM yyyy")',
    "pprint": "write | tojson",
    "center": "messages are not set in columns",
    "indent": "messages are not set in columns",
    "wordwrap": "phones wrap lines themselves",
    "slice": "write | batch(n)",
    "currency": 'write | money("TRY")',
}
_RESERVED = frozenset({"self", "super", "caller", "loop"})


@dataclass(frozen=True, slots=True)
class Uses:
    """What a template takes from its scope: root names, and the whole paths that must exist."""

    names: frozenset[str] = frozenset()
    paths: frozenset[Path] = frozenset()

    @classmethod
    def of_all(cls, parts: Iterable[Uses]) -> Uses:
        """Return the sum of several."""
        found = list(parts)
        return cls(frozenset().union(*(p.names for p in found)), frozenset().union(*(p.paths for p in found)))


def inspect_tree(tree: nodes.Template | nodes.Expr, source: str) -> Uses:
    """Return what a template or expression uses; raises TemplateProblem for the first thing in it that is not allowed."""
    inspector = _Inspector(source)
    if isinstance(tree, nodes.Template):
        inspector.statement(tree, 0, 0)
    else:
        inspector.expression(tree, 0)
    return _shared(frozenset(inspector.names), frozenset(inspector.paths))


@lru_cache(maxsize=4096)
def _shared(names: frozenset[str], paths: frozenset[Path]) -> Uses:
    # Most texts of a flow set use what others use: thousands of flows keep a few hundred of these.
    return Uses(names, paths)


class _Inspector:
    def __init__(self, source: str) -> None:
        self.names: set[str] = set()
        self.paths: set[Path] = set()
        self._source = source
        self._known: list[set[str]] = [set()]
        self._optional = 0

    # -- statements

    def statement(self, node: nodes.Node, depth: int, loops: int) -> None:
        if depth > MAX_STATEMENTS:
            raise self._problem(node, None, f"tags are nested deeper than {MAX_STATEMENTS} levels", "split the step")
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                if type(part) is not nodes.TemplateData:
                    self.expression(part, 0)
        elif isinstance(node, nodes.If):
            self.expression(node.test, 0)
            self._body(node.body, depth, loops)
            for branch in node.elif_:
                self.statement(branch, depth, loops)
            self._body(node.else_, depth, loops)
        elif isinstance(node, nodes.For):
            self._loop(node, depth, loops)
        elif isinstance(node, nodes.Assign):
            self.expression(node.node, 0)
            self._declare(node.target)
        elif isinstance(node, nodes.AssignBlock):
            self._inner(node.body, [], depth, loops)
            if node.filter is not None:
                self.expression(node.filter, 0)
            self._declare(node.target)
        elif isinstance(node, nodes.FilterBlock):
            self._inner(node.body, [], depth, loops)
            self.expression(node.filter, 0)
        elif isinstance(node, nodes.With):
            for value in node.values:
                self.expression(value, 0)
            self._inner(node.body, node.targets, depth, loops)
        elif isinstance(node, nodes.Template):
            self._body(node.body, depth - 1, loops)
        else:
            raise self._refused(node)

    def _loop(self, node: nodes.For, depth: int, loops: int) -> None:
        if node.recursive:
            raise self._problem(node, "recursive", "a loop cannot be recursive here", "nest loops instead")
        if loops >= MAX_LOOPS:
            raise self._problem(node, "for", f"loops are nested deeper than {MAX_LOOPS} levels", "split the step")
        self.expression(node.iter, 0)
        self._known.append(set())
        self._declare(node.target)
        if node.test is not None:
            self.expression(node.test, 0)
        self._known[-1].add("loop")
        self._body(node.body, depth, loops + 1)
        self._known.pop()
        self._inner(node.else_, [], depth, loops)

    def _inner(self, body: list[nodes.Node], targets: list[nodes.Expr], depth: int, loops: int) -> None:
        self._known.append(set())
        for target in targets:
            self._declare(target)
        self._body(body, depth, loops)
        self._known.pop()

    def _body(self, body: list[nodes.Node], depth: int, loops: int) -> None:
        for node in body:
            self.statement(node, depth + 1, loops)

    def _declare(self, target: nodes.Node) -> None:
        if isinstance(target, nodes.Tuple):
            for part in target.items:
                self._declare(part)
        elif isinstance(target, nodes.Name):
            self._name(target)
            if target.name in _RESERVED:
                raise self._problem(target, target.name, f'"{target.name}" is reserved', "choose another name")
            self._known[-1].add(target.name)
        else:
            raise self._refused(target)

    # -- expressions

    def expression(self, node: nodes.Node, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._problem(
                node, None, f"the expression is nested deeper than {MAX_DEPTH} levels", "split it with {% set %}"
            )
        depth += 1
        if isinstance(node, nodes.Name):
            self._use(node, (node.name,))
        elif isinstance(node, (nodes.Getattr, nodes.Getitem)):
            self._part(node, depth)
        elif isinstance(node, nodes.Filter):
            self._filter(node, depth)
        elif isinstance(node, nodes.Test):
            self._test(node, depth)
        elif isinstance(node, nodes.Call):
            self._call(node, depth)
        elif isinstance(node, nodes.Const):
            self._const(node)
        elif isinstance(node, _EXPRESSIONS):
            for child in node.iter_child_nodes():
                # Operands and pairs are jinja's helpers around expressions.
                if isinstance(child, nodes.Operand):
                    self.expression(child.expr, depth)
                elif isinstance(child, nodes.Pair):
                    self.expression(child.key, depth)
                    self.expression(child.value, depth)
                else:
                    self.expression(child, depth)
        else:
            raise self._refused(node)

    def _part(self, node: nodes.Getattr | nodes.Getitem, depth: int) -> None:
        path = path_of(node)
        part: nodes.Node = node
        while isinstance(part, (nodes.Getattr, nodes.Getitem)):
            depth += 1
            if depth > MAX_DEPTH:
                raise self._problem(node, None, f"the expression is nested deeper than {MAX_DEPTH} levels", None)
            if isinstance(part, nodes.Getattr):
                if part.attr.startswith("__"):
                    raise self._problem(
                        part, part.attr, f'"{shorten(part.attr)}" cannot be used', 'write ["…"] for a key of that name'
                    )
            else:
                self.expression(part.arg, depth)
            part = part.node
        if isinstance(part, nodes.Name) and path is not None:
            self._use(part, path)
        else:
            self.expression(part, depth)

    def _use(self, node: nodes.Name, path: Path) -> None:
        self._name(node)
        if any(node.name in known for known in self._known):
            return
        if node.name in _RESERVED:
            hint = "it exists within {% for %}" if node.name == "loop" else None
            raise self._problem(node, node.name, f'there is no "{node.name}" here', hint)
        self.names.add(node.name)
        if not self._optional:
            self.paths.add(path)

    def _name(self, node: nodes.Name) -> None:
        if node.name.startswith("__"):
            raise self._problem(
                node, node.name, f'"{shorten(node.name)}" cannot be used', "names do not begin with two underscores"
            )

    def _filter(self, node: nodes.Filter, depth: int) -> None:
        run = FILTERS.get(node.name)
        if run is None:
            raise self._unknown("filter", node, _GONE_FILTERS.get(node.name), FILTERS)
        optional = node.name in ("default", "d")
        self._optional += optional
        if node.node is not None:
            self.expression(node.node, depth)
        self._optional -= optional
        self._arguments(node, depth)
        self._fitting("filter", node, run)
        check = CHECKS.get(node.name)
        if check is not None and node.args and isinstance(node.args[0], nodes.Const):
            try:
                check(node.args[0].value)
            except Refusal as refusal:
                raise self._problem(node, str(node.args[0].value), str(refusal), None) from None

    def _test(self, node: nodes.Test, depth: int) -> None:
        run = TESTS.get(node.name)
        if run is None:
            raise self._unknown("test", node, None, TESTS)
        optional = node.name in ("defined", "undefined")
        self._optional += optional
        self.expression(node.node, depth)
        self._optional -= optional
        self._arguments(node, depth)
        self._fitting("test", node, run)

    def _call(self, node: nodes.Call, depth: int) -> None:
        callee = node.node
        if isinstance(callee, nodes.Getattr) and path_of(callee) is not None:
            # The method's name is no key of the scope.
            if callee.attr.startswith("__"):
                raise self._problem(callee, callee.attr, f'"{shorten(callee.attr)}" cannot be used', None)
            callee = callee.node
        elif not isinstance(callee, (nodes.Name, nodes.Getattr)):
            raise self._problem(node, None, "this cannot be called", "write the name of a function or method before ()")
        self.expression(callee, depth)
        self._arguments(node, depth)

    def _arguments(self, node: Any, depth: int) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise self._problem(node, "*", "arguments cannot be given with * or **", "write them out")
        for argument in node.args:
            self.expression(argument, depth)
        seen = set()
        for keyword in node.kwargs:
            if keyword.key.startswith("_") or keyword.key in seen:
                raise self._problem(
                    node, keyword.key, f'the argument "{shorten(keyword.key)}" cannot be given here or twice', None
                )
            seen.add(keyword.key)
            self.expression(keyword.value, depth)

    def _fitting(self, what: str, node: Any, run: Any) -> None:
        try:
            signature_of(run).bind(None, None, *node.args, **{keyword.key: None for keyword in node.kwargs})
        except TypeError as error:
            raise self._problem(node, node.name, f"{what} {node.name}: {error}", None) from None

    def _const(self, node: nodes.Const) -> None:
        value = node.value
        if (isinstance(value, float) and not isfinite(value)) or (type(value) is int and value.bit_length() > MAX_BITS):
            raise self._problem(node, None, "the number is too large", None)

    # -- problems

    def _unknown(self, what: str, node: Any, hint: str | None, known: Iterable[str]) -> TemplateProblem:
        hint = hint or (near_miss(node.name, known) if len(node.name) < 60 else None)
        return self._problem(node, node.name, f'there is no {what} "{shorten(node.name)}"', hint)

    def _refused(self, node: nodes.Node) -> TemplateProblem:
        word, message, hint = _REFUSED.get(type(node), (None, "this cannot be used here", None))
        return self._problem(node, word, message, hint)

    def _problem(self, node: nodes.Node, word: str | None, message: str, hint: str | None) -> TemplateProblem:
        line, column = place(self._source, node.lineno or 1, word)
        return TemplateProblem(message, line=line, column=column, hint=hint)
