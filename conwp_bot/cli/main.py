"""`conwp-bot`: the group of all commands, each imported only when it is called.

Exit codes: 0 done, 1 problems found, 2 wrong usage, 78 another daemon has the database. What is wrong is told in one line with a
hint, never as a traceback, unless `--debug` is given.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from conwp_bot import __version__
from conwp_bot.cli.invocation import CONFIG_VARIABLE, Invocation, debug_option, remember_config
from conwp_bot.errors import AlreadyRunning, ConwpBotError

EXIT_PROBLEMS = 1
EXIT_ALREADY_RUNNING = 78

# Name to module, attribute and one line of help: `--help` imports no command.
SECTIONS: Mapping[str, Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "Begin": {
            "init": ("init", "init", "Write a config, a first flow and what an editor needs."),
            "demo": ("run", "demo", "Show it all at work, with a local ConWP and example flows."),
            "check": ("check", "check", "Say what is wrong with the config and the flows."),
            "schema": ("schema", "schema", "Print the JSON Schema of flows or of the config."),
        },
        "Work": {
            "run": ("run", "run", "Run the daemon: flows, webhooks, sending."),
            "fire": ("fire", "fire", "Fire a flow by hand."),
            "send": ("fire", "send", "Send a message, past all flows but within the budget."),
            "sandbox": ("sandbox", "sandbox", "Run a local ConWP that sends nothing."),
            "service": ("service", "service", "Have systemd run the daemon."),
        },
        "Look": {
            "flows": ("flows", "flows", "List flows: state, next slot, what they spent."),
            "runs": ("runs", "runs", "List runs, the newest first."),
            "run-info": ("runs", "run_info", "Tell what a run did, step by step, and why."),
            "messages": ("messages", "messages", "List messages, the newest first."),
            "message-info": ("messages", "message_info", "Tell what became of a message, attempt by attempt."),
            "budget": ("budget", "budget", "Show what is left of each account's budget."),
            "devices": ("account", "devices", "Ask ConWP for the phones behind an account."),
            "status": ("account", "status", "Ask ConWP for its own books on an account."),
        },
    }
)
COMMANDS = {name: where for section in SECTIONS.values() for name, where in section.items()}


class LazyGroup(click.Group):
    """Commands by name, imported when they are called; our errors become one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, attribute, _ = where
        command: click.Command = getattr(importlib.import_module(f"conwp_bot.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<12}", text) for name, (_, _, text) in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConwpBotError as error:
            if ctx.ensure_object(Invocation).debug:
                raise
            show_error(str(error), error.hint)
            ctx.exit(EXIT_ALREADY_RUNNING if isinstance(error, AlreadyRunning) else EXIT_PROBLEMS)
        except BrokenPipeError:
            raise  # click ends quietly: who reads us has seen enough
        except OSError as error:
            if ctx.ensure_object(Invocation).debug:
                raise
            what = error.strerror or str(error) or type(error).__name__
            show_error(f"{error.filename}: {what}" if error.filename else what, None)
            ctx.exit(EXIT_PROBLEMS)


def show_error(message: str, hint: str | None) -> None:
    """Tell what went wrong, and what to do about it."""
    click.secho(f"error: {message}", fg="red", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 problems found, 2 wrong usage, 78 another daemon has the database.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar=CONFIG_VARIABLE,
    show_envvar=True,
    expose_value=False,
    callback=remember_config,
    metavar="FILE",
    help="The config file, before or behind the command. Default: ./config.yaml.",
)
@debug_option
@click.version_option(__version__, prog_name="conwp-bot")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """When this happens, send that WhatsApp message: YAML flows over the ConWP API, within its hourly budget."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> None:
    """Run the command line of this process."""
    cli(prog_name="conwp-bot")
