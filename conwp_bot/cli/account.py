"""`conwp-bot devices` and `status`: what ConWP says of an account. Each asks once, and that request counts."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation, quiet_logs
from conwp_bot.cli.output import Column, say, say_facts, say_json, say_table
from conwp_bot.model.delivery import DEFAULT_ACCOUNT

_account = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, metavar="NAME", help="Which of the config's accounts."
)


@click.command()
@_account
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@common_options
@pass_invocation
def devices(invocation: Invocation, account: str, as_json: bool) -> None:
    """Ask ConWP for the phones behind an account: one request of its budget.

    Only a device whose status is `active` counts as ready. `last seen` is shown as ConWP gives it: its time zone is not documented.
    """
    found: list[dict[str, Any]] = asyncio.run(_ask(invocation, "devices", account))
    if as_json:
        say_json(found)
        return
    if not found:
        say(f"no device stands behind the account {account}: connect a phone on ConWP's pages")
        return
    columns = [
        Column("device"),
        Column("status"),
        Column("ready"),
        Column("number"),
        Column("name"),
        Column("last seen"),
    ]
    rows = [
        [
            str(device.get("name") or ""),
            str(device.get("status") or ""),
            "yes" if device.get("ready") else "no",
            str(device.get("number") or ""),
            str(device.get("display_name") or ""),
            str(device.get("last_seen") or ""),
        ]
        for device in found
    ]
    say_table(columns, rows)


@click.command()
@_account
@click.option("--json", "as_json", is_flag=True, help="Print one object; null is what ConWP did not say.")
@common_options
@pass_invocation
def status(invocation: Invocation, account: str, as_json: bool) -> None:
    """Ask ConWP for its own books on an account: one request of its budget. `budget` shows ours, and costs none."""
    found: dict[str, Any] = asyncio.run(_ask(invocation, "status", account))
    if as_json:
        say_json(found)
        return
    say_facts([(name.replace("_", " "), _shown(value)) for name, value in found.items()])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


async def _ask(invocation: Invocation, what: str, account: str) -> Any:
    from conwp_bot.app.asking import operations

    quiet_logs()
    async with operations(invocation.settings()) as asked:
        return await (asked.devices(account) if what == "devices" else asked.status(account))
