"""`conwp-bot service`: the daemon under systemd."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
from conwp_bot.cli.output import say

if TYPE_CHECKING:
    from conwp_bot.app.service import ServiceFiles
    from conwp_bot.settings import Settings

_user = click.option(
    "--user", is_flag=True, help="A service of your own, without root; it runs while you are logged in."
)
_dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")


@click.group()
@common_options
def service() -> None:
    """Have systemd start the daemon, watch it and restart it."""


@service.command()
@_user
@_dry_run
@common_options
@pass_invocation
def install(invocation: Invocation, user: bool, dry_run: bool) -> None:
    """Write the unit for this installation and this config, enable it and start it.

    Run it again after a flow got a file trigger in another folder: the unit allows writing in those folders alone.
    """
    from conwp_bot.app import service as work

    files = _files(invocation.settings(), user=user)
    if dry_run:
        say(f"# {files.path}")
        say(files.text.rstrip("\n"))
        return
    work.install(files)
    say(f"wrote {files.path}; the daemon is running")
    say(f"its log: journalctl {'--user ' if user else ''}-u {files.path.stem} -f")


@service.command()
@_user
@_dry_run
@common_options
@pass_invocation
def uninstall(invocation: Invocation, user: bool, dry_run: bool) -> None:
    """Stop the daemon and remove its unit; the config, the flows and the data stay."""
    from conwp_bot.app import service as work

    files = _files(invocation.settings(), user=user)
    if dry_run:
        say(f"would stop {files.path.stem} and remove {files.path}" if files.path.exists() else "it is not installed")
        return
    say(f"removed {files.path}" if work.uninstall(files) else "it was not installed")


@service.command()
@_user
@common_options
@pass_invocation
def status(invocation: Invocation, user: bool) -> None:  # noqa: ARG001 - the options are every command's
    """Show what systemd says of the daemon."""
    from conwp_bot.app import service as work

    say(work.status(user=user))


def _files(settings: Settings, *, user: bool) -> ServiceFiles:
    from conwp_bot.app.service import service_files

    return service_files(settings, user=user, drop_folders=drop_folders(settings))


def drop_folders(settings: Settings) -> list[Path]:
    """Return the folders in which file triggers look: the daemon takes files out of them."""
    from conwp_bot.app.engine import flow_defaults
    from conwp_bot.flows.flow import FileTrigger
    from conwp_bot.flows.load import FlowLoader

    flows = FlowLoader(settings.flows, flow_defaults(settings)).load().flow_set.flows.values()
    found = set()
    for trigger in (each for flow in flows for each in flow.triggers if isinstance(each, FileTrigger)):
        folder = (settings.root / trigger.pattern).parent
        while any(sign in str(folder) for sign in "*?["):
            folder = folder.parent
        found.add(folder)
    return sorted(found)
