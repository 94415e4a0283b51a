"""`conwp-bot init`: a folder to begin in."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import click

from conwp_bot.cli.invocation import common_options
from conwp_bot.cli.output import say


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option(
    "--lang",
    type=click.Choice(["en", "tr"]),
    help="The language of comments and texts. Default: tr when $LANG is, else en.",
)
@common_options
def init(folder: Path, lang: str | None) -> None:
    """Write a config, a first flow, and what an editor needs to complete and check them, into FOLDER (default: here).

    What is there already is kept, always.
    """
    language = lang or preferred_language(dict(os.environ))
    for name, text in folder_files(language).items():
        _write(folder / name, text)
    from conwp_bot.cli.templates import TEMPLATES

    enter = "" if folder.resolve() == Path.cwd() else f"  cd {shlex.quote(str(folder))}\n"
    say("\n" + TEMPLATES[language].next_steps.format(enter=enter).rstrip("\n"))


def folder_files(language: str) -> dict[str, str]:
    """Return the files of a new folder, by their path in it."""
    from conwp_bot.cli.schema import schema_of
    from conwp_bot.cli.templates import GITIGNORE, TEMPLATES, VSCODE

    templates = TEMPLATES[language]
    return {
        "config.yaml": templates.config,
        "flows/hello.yaml": templates.hello,
        ".conwp-bot/flow.schema.json": _json(schema_of("flow")),
        ".conwp-bot/config.schema.json": _json(schema_of("config")),
        ".vscode/settings.json": _json(VSCODE),
        ".gitignore": GITIGNORE,
    }


def preferred_language(environ: dict[str, str]) -> str:
    """Return `tr` when that is what the locale says, else `en`; the first variable that is set counts, as for any program."""
    said = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "tr" if said.lower().startswith("tr") else "en"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        say(f"kept   {path}" + ("" if _same(path, text) else "  (it was there; nothing was changed)"))
    else:
        say(f"wrote  {path}")


def _same(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
