"""Problems of a person's files, as lines that editors can jump to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import click

from conwp_bot.model.problem import Problem, Severity
from conwp_bot.telemetry import escape_controls


def show_problems(problems: Sequence[Problem], *, err: bool = False) -> None:
    """Print a line for each problem, the files in order, a blank line between them."""
    for number, (_, group) in enumerate(groupby(problems, key=lambda problem: problem.file)):
        if number:
            click.echo(err=err)
        for problem in group:
            click.echo(problem_line(problem), err=err)


def problem_line(problem: Problem) -> str:
    """Write `file:line:column: path: message; hint`; a warning says that it is one."""
    where = click.style(f"{problem.file}:{problem.line}:{problem.column}:", bold=True)
    warning = problem.severity is Severity.WARNING
    mark = click.style(" warning:", fg="yellow") if warning else ""
    key = f" {problem.path}:" if problem.path else ""
    hint = f"; {problem.hint}" if problem.hint else ""
    message = click.style(escape_controls(problem.message), fg=None if warning else "red")
    return f"{where}{mark}{escape_controls(key)} {message}{escape_controls(hint)}"


def counted(count: int, what: str) -> str:
    """Write `1 error`, `2 errors`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
