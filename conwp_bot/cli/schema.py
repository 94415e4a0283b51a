"""`conwp-bot schema`: what editors check flows and configs against."""

from __future__ import annotations

from typing import Any

import click

from conwp_bot.cli.invocation import common_options
from conwp_bot.cli.output import say_json


@click.command()
@click.argument("what", type=click.Choice(["flow", "config"]), default="flow")
@common_options
def schema(what: str) -> None:
    """Print the JSON Schema of flows (the default) or of the config.

    `conwp-bot init` writes both where editors find them; after an upgrade, write them again:

    \b
        conwp-bot schema flow > .conwp-bot/flow.schema.json
        conwp-bot schema config > .conwp-bot/config.schema.json
    """
    say_json(schema_of(what))


def schema_of(what: str) -> dict[str, Any]:
    """Return the JSON Schema of `flow` or `config`."""
    if what == "config":
        from conwp_bot.settings.load import config_schema

        return config_schema()
    from conwp_bot.flows.schema import flow_schema

    return flow_schema()
