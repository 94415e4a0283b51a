"""From jinja's tree to Python that asks the environment before it does anything.

Jinja's own generator calls filters directly, compares, joins and cuts natively, and folds constants by running filters while it
compiles. Here each of those goes through one method of the environment, which knows the bounds.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

from conwp_bot.flows.render.paths import path_text

EACH = "<each>"
"""The name under which a loop's list is wrapped; no source can spell it."""


class Generator(CodeGenerator):
    """Writes the function of one template. What it may meet was checked before (`check.py`)."""

    def pull_dependencies(self, nodes: Any) -> None:
        """Filters and tests are looked up by the environment, not bound in advance."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        cost = 1 + sum(1 for part in node.body for _ in part.find_all(nodes.Node)) // 8
        iterable = nodes.Filter(node.iter, EACH, [nodes.Const(cost)], [], None, None, lineno=node.lineno)
        super().visit_For(
            nodes.For(node.target, iterable, node.body, node.else_, node.test, node.recursive, lineno=node.lineno),
            frame,
        )

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802
        if frame.toplevel and not frame.loop_frame and frame.buffer is None:
            super().visit_Output(node, frame)
            return
        # Fixed text that may be written many times is counted like the rest.
        parts = [nodes.Const(n.data, lineno=n.lineno) if isinstance(n, nodes.TemplateData) else n for n in node.nodes]
        super().visit_Output(nodes.Output(parts, lineno=node.lineno), frame)

    def _output_child_pre(self, _node: nodes.Expr, _frame: Frame, _finalize: Any) -> None:
        self.write("environment.finalize(context, ")

    def _output_child_post(self, node: nodes.Expr, _frame: Frame, _finalize: Any) -> None:
        self.write(f", {path_text(node)!r})")

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:  # noqa: N802
        self.write(f"environment.apply(context, {node.name!r}, ")
        if node.node is None:
            self.write(f"concat({frame.buffer})")
        else:
            self.visit(node.node, frame)
        self.signature(node, frame)
        self.write(")")

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:  # noqa: N802
        self.write(f"environment.judge(context, {node.name!r}, ")
        self.visit(node.node, frame)
        self.signature(node, frame)
        self.write(")")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802
        self.write("environment.getattr(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r}, {path_text(node.node)!r})")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        if isinstance(node.arg, nodes.Slice):
            self.write("environment.cut(context, ")
            self.visit(node.node, frame)
            for bound in (node.arg.start, node.arg.stop, node.arg.step):
                self.write(", ")
                if bound is None:
                    self.write("None")
                else:
                    self.visit(bound, frame)
            self.write(")")
            return
        self.write("environment.getitem(")
        self.visit(node.node, frame)
        self.write(", ")
        self.visit(node.arg, frame)
        self.write(f", {path_text(node.node)!r})")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.concatenate(context, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        # a < b < c: b is evaluated once, and c only if a < b.
        middle = ""
        self.write("(")
        for place, operand in enumerate(node.ops):
            if place:
                self.write(" and ")
            self.write(f"environment.compare(context, {operand.op!r}, ")
            if middle:
                self.write(middle)
            else:
                self.visit(node.expr, frame)
            self.write(", ")
            if place == len(node.ops) - 1:
                self.visit(operand.expr, frame)
            else:
                middle = self.temporary_identifier()
                self.write(f"({middle} := ")
                self.visit(operand.expr, frame)
                self.write(")")
            self.write(")")
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self.write("{")
        for pair in node.items:
            self.write("environment.key(")
            self.visit(pair.key, frame)
            self.write("): ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")
