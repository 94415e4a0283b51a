"""`conwp-bot run` and `demo`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
from conwp_bot.cli.sandbox import listen_address


@click.command()
@click.option("--sandbox", is_flag=True, help="Send to a local ConWP instead of the real one; its data are kept apart.")
@click.option(
    "--sandbox-listen",
    metavar="HOST:PORT",
    help="Where the sandbox listens; implies --sandbox. Default: 127.0.0.1:8701.",
)
@click.option("--listen", metavar="HOST:PORT", help="Where webhooks are taken, instead of the config's `web.listen`.")
@common_options
@pass_invocation
def run(invocation: Invocation, sandbox: bool, sandbox_listen: str | None, listen: str | None) -> None:
    """Run the daemon: flows fire, webhooks and files are taken, messages are sent.

    SIGTERM and Ctrl-C stop it in order, SIGHUP reloads. A saved flow or config is taken over by itself.
    """
    from conwp_bot.app.daemon import ConfigRejected, SandboxChoice, run_daemon
    from conwp_bot.cli.problems import show_problems

    choice = None
    if sandbox_listen is not None:
        choice = SandboxChoice(*listen_address(sandbox_listen))
    elif sandbox:
        choice = SandboxChoice()
    address = listen_address(listen) if listen is not None else None
    try:
        code = run_daemon(invocation.config, sandbox=choice, listen=address)
    except ConfigRejected as error:
        show_problems(error.problems, err=True)
        code = 1
    raise click.exceptions.Exit(code)


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@common_options
def demo(folder: Path | None) -> None:
    """Show it all at work: the daemon, a local ConWP and the example flows, in FOLDER (default: ./demo). Ctrl-C ends it."""
    from conwp_bot.app.demo import run_demo

    raise click.exceptions.Exit(run_demo(folder))
