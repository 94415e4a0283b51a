"""`conwp-bot budget`: what is left, and when there is more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conwp_bot.cli.database import read
from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
from conwp_bot.cli.output import Column, instant_text, moment, say, say_json, say_table
from conwp_bot.clock import SystemClock

if TYPE_CHECKING:
    from conwp_bot.store.books import BudgetReport


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; times are ISO 8601 in UTC.")
@common_options
@pass_invocation
def budget(invocation: Invocation, as_json: bool) -> None:
    """Show each account's budget: its limit, what is used and left, when the next slot frees, and why it waits.

    `usable` is the limit less a small margin. Every request counts, also a refused one, and also `devices` and `status`.
    """
    from conwp_bot.dispatch.limit import usable
    from conwp_bot.store.books import BudgetReport, account_budgets
    from conwp_bot.store.reports import wait_sentence

    settings = invocation.settings()
    now, zone = SystemClock().now(), settings.timezone
    accounts = [(account.name, account.limit, usable(account.limit)) for account in settings.accounts.values()]
    nothing = [BudgetReport(name, limit, less.count, 0, None, None, 0, 0, 0) for name, limit, less in accounts]
    found = read(settings, lambda conn: account_budgets(conn, accounts, now=now), nothing)
    if as_json:
        say_json([_as_json(report) for report in found])
        return
    columns = [
        Column("account"),
        Column("limit"),
        Column("usable", right=True),
        Column("used", right=True),
        Column("left", right=True),
        Column("next frees"),
        Column("due", right=True),
        Column("waiting", right=True),
        Column("60 minutes", right=True),
    ]
    rows = [
        [
            report.account,
            str(report.limit),
            f"{report.usable:,}",
            f"{report.used:,}",
            f"{report.left:,}",
            moment(report.frees_at, now, zone),
            f"{report.backlog:,}",
            f"{report.pending:,}",
            f"{report.requests_hour:,}",
        ]
        for report in found
    ]
    say_table(columns, rows)
    for report in found:
        if report.waiting is not None:
            say(f"\n{wait_sentence(report.waiting, now, zone)}")
    waiting = {report.account for report in found if report.pending}
    for account in settings.accounts.values():
        if account.api_key is None and account.name in waiting:
            say(f"\naccount {account.name} has no key in this terminal: {account.key_source} gives nothing", err=True)


def _as_json(report: BudgetReport) -> dict[str, Any]:
    waiting = report.waiting
    return {
        "account": report.account,
        "limit": str(report.limit),
        "usable": report.usable,
        "used": report.used,
        "left": report.left,
        "frees_at": instant_text(report.frees_at),
        "waiting": None
        if waiting is None
        else {"until": instant_text(waiting.until), "because": waiting.because, "detail": waiting.detail},
        "backlog": report.backlog,
        "pending": report.pending,
        "requests_hour": report.requests_hour,
    }
