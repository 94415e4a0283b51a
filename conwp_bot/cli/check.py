"""`conwp-bot check`: every problem of the config and the flows at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
from conwp_bot.cli.output import say, say_json
from conwp_bot.cli.problems import counted, show_problems
from conwp_bot.model.problem import Problem, Severity

if TYPE_CHECKING:
    from conwp_bot.flows.defaults import FlowDefaults
    from conwp_bot.flows.flow import Flow
    from conwp_bot.settings import Settings


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--json", "as_json", is_flag=True, help="Print a list of {file, line, column, path, message, hint, severity}."
)
@common_options
@pass_invocation
def check(invocation: Invocation, paths: tuple[Path, ...], as_json: bool) -> None:
    """Say what is wrong with the config and the flows, each with file, line and column.

    With PATHS (flow files, folders or the config), only their problems; a file outside of the flows' folder is checked as a flow by
    itself. Exits with 1 when there is any error; warnings alone are fine.
    """
    examined = examine(invocation.config, os.environ)
    if paths:
        examined = _narrowed(examined, invocation.config, paths)
    problems = examined.problems
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if as_json:
        say_json([problem.as_json() for problem in problems])
    else:
        show_problems(problems)
        say(("\n" if problems else "") + _summary(errors, len(problems) - errors, examined.flows))
    raise click.exceptions.Exit(1 if errors else 0)


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found: the problems, in how many flow files, and what flows take from the config."""

    problems: list[Problem]
    flows: int
    folder: Path
    defaults: FlowDefaults


def examine(config: Path, environ: Mapping[str, str]) -> Examined:
    """Find the problems of a config and its flows; files are named from the present folder.

    A config with an error does not hide the flows' problems: they are then read with the defaults, from `flows` beside it.
    """
    from conwp_bot.flows.defaults import FlowDefaults
    from conwp_bot.flows.load import FlowLoader
    from conwp_bot.settings.load import load_settings

    settings, problems = load_settings(config, environ)
    if settings is None:
        folder = config.absolute().parent / "flows"
        defaults = FlowDefaults(ZoneInfo("Europe/Istanbul"), "tr_TR", None)
        if not folder.is_dir():
            return Examined(problems, 0, folder, defaults)
    else:
        folder = settings.flows
        defaults = FlowDefaults(settings.timezone, settings.locale, frozenset(settings.accounts))
    result = FlowLoader(folder, defaults, root=Path.cwd()).load()
    flows = result.flow_set.flows
    found = [*problems, *result.problems]
    if settings is not None:
        found += _missing_secrets(flows.values(), settings, environ)
    found.sort(key=lambda each: (each.file != str(config), each.file, each.line, each.column))
    return Examined(found, len(flows.keys() | result.broken), folder, defaults)


def _missing_secrets(flows: Iterable[Flow], settings: Settings, environ: Mapping[str, str]) -> list[Problem]:
    """Warn of webhooks whose secret is not there (yet): they refuse every sender until it is."""
    from conwp_bot.flows.flow import WebhookTrigger
    from conwp_bot.settings.secrets import find_secret

    problems = []
    for flow in flows:
        for number, trigger in enumerate(flow.triggers):
            if not isinstance(trigger, WebhookTrigger) or trigger.secret is None:
                continue
            found = find_secret(trigger.secret, settings.root, environ)
            said = found.missing or found.warning
            if said:
                line, column = _position(flow.source, trigger.secret)
                where = f"triggers[{number}].secret"
                problems.append(Problem(flow.file, line, column, where, said, found.hint, Severity.WARNING))
    return problems


def _position(source: str, text: str) -> tuple[int, int]:
    for number, line in enumerate(source.splitlines(), 1):
        if text in line and "secret" in line:
            return number, line.index(text) + 1
    return 1, 1


def _narrowed(examined: Examined, config: Path, paths: tuple[Path, ...]) -> Examined:
    """Keep what is of these paths; a file that is no part of this config is checked as a flow by itself."""
    from conwp_bot.flows.compile import compile_source
    from conwp_bot.flows.find import find_flow_files

    folder = examined.folder.resolve()
    chosen: list[Problem] = []
    flows = 0
    for path in paths:
        real = path.resolve()
        if path.is_file() and real != config.resolve() and folder not in real.parents:
            flows += 1
            chosen += compile_source(path.stem, path.read_bytes(), str(path), examined.defaults).problems
            continue
        chosen += [each for each in examined.problems if real in (place := Path(each.file).resolve(), *place.parents)]
        if path.is_dir():
            flows += len(find_flow_files(path).files)
        elif real != config.resolve():
            flows += 1
    return replace(examined, problems=chosen, flows=flows)


def _summary(errors: int, warnings: int, flows: int) -> str:
    what = [counted(errors, "error")] * bool(errors) + [counted(warnings, "warning")] * bool(warnings)
    text = f"{', '.join(what) or 'no problems'} in the config and {counted(flows, 'flow')}"
    return click.style(text, fg="red" if errors else "yellow" if warnings else "green")
