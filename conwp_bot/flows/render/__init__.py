"""Text fields and expressions of a flow: strict, sandboxed, bounded Jinja.

`environment.py` says what runs, `bounds.py` how much of it, `check.py` what may stand in a source, `code.py` when it is compiled.
"""

from __future__ import annotations

from conwp_bot.flows.render.compile import (
    compile_condition,
    compile_expression,
    compile_text,
    compile_value,
    names_used,
    paths_used,
)
from conwp_bot.flows.render.functions import GLOBAL_NAMES
from conwp_bot.flows.render.numbers import parse_number
from conwp_bot.flows.render.problem import TemplateProblem
from conwp_bot.flows.render.settings import SETTINGS_KEY, RenderContext, make_scope

__all__ = [
    "GLOBAL_NAMES",
    "SETTINGS_KEY",
    "RenderContext",
    "TemplateProblem",
    "compile_condition",
    "compile_expression",
    "compile_text",
    "compile_value",
    "make_scope",
    "names_used",
    "parse_number",
    "paths_used",
]
