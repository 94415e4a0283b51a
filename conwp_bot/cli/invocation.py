"""What a call says of all commands alike: which config, and whether errors come with their traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from conwp_bot.settings import Settings

CONFIG_VARIABLE = "CONWP_BOT_CONFIG"
DEFAULT_CONFIG = Path("config.yaml")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Invocation:
    """The options that stand before or behind the command; what stands behind it counts."""

    config: Path = DEFAULT_CONFIG
    debug: bool = False

    def settings(self) -> Settings:
        """Load the config; with errors in it, print them as `check` does and exit with 1. Warnings are `check`'s to tell."""
        from conwp_bot.cli.problems import show_problems
        from conwp_bot.settings.load import load_settings

        settings, problems = load_settings(self.config, os.environ)
        if settings is None:
            show_problems(problems, err=True)
            raise click.exceptions.Exit(1)
        return settings


def quiet_logs() -> None:
    """Let the engine of this process tell only of trouble, and nothing secret of it."""
    from conwp_bot.telemetry import configure

    configure("warning", "human", sys.stderr)


def remember_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:  # noqa: ARG001
    """Keep what `--config` says, unless it says nothing."""
    invocation = ctx.ensure_object(Invocation)  # always: the group's is then its commands' too
    if value is not None:
        invocation.config = value


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    invocation = ctx.ensure_object(Invocation)
    invocation.debug = invocation.debug or value


def debug_option(command: F) -> F:
    """Add `--debug`."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show an error's traceback.",
    )(command)


def common_options(command: F) -> F:
    """Add the options that every command has."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=remember_config,
        metavar="FILE",
        help=f"The config file. Default: ./{DEFAULT_CONFIG}.",
    )
    return config(debug_option(command))


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
