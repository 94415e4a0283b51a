"""The command line's page names every command and option of the click tree, and every command line in the docs is one."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from docs_kit import Block, blocks, codes, read, rows, section

from conwp_bot.cli.main import cli

COMMON = {"--config", "--debug", "--help", "-h", "--version"}


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command by its name, those of groups with the group's before it."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


TREE = dict(commands(cli))


def options_of(command: click.Command) -> set[str]:
    return {
        spelling
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("name", list(TREE))
def test_every_option_of_a_command_stands_in_its_section_and_no_other(name: str) -> None:
    table = [cells for cells in rows(section(read("reference/cli.md"), name)) if cells[0].startswith("`-")]
    told = {spelling for cells in table for spelling in codes(cells[0])}
    assert told == options_of(TREE[name]) - COMMON


def test_what_all_commands_have_is_told_once() -> None:
    told = {
        spelling
        for cells in rows(section(read("reference/cli.md"), "Options of every command"))
        for spelling in codes(cells[0])
    }
    assert told == COMMON
    assert options_of(cli) | {"-h", "--help"} == COMMON


@pytest.mark.parametrize("block", [block for block in blocks("sh", "console") if "conwp-bot" in block.text], ids=str)
def test_every_command_line_in_the_docs_is_one(block: Block) -> None:
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        for call in re.findall(r"(?:^|[|;&$(] ?|sudo )conwp-bot( [^|;&#<>)]*)", line.removeprefix("$ ")):
            words = [word for word in shlex.split(call) if word]
            if any("[" in word for word in words):
                continue  # a synopsis
            name = next((word for word in _without_config(words) if not word.startswith("-")), None)
            if name is None or name.isupper():
                continue
            assert name in TREE, f"{block}: {line}"
            command = TREE[name]
            inner = next((word for word in words if f"{name} {word}" in TREE), None)
            known = options_of(command) | COMMON | (options_of(TREE[f"{name} {inner}"]) if inner else set())
            assert {word for word in words if word.startswith("-") and word != "-"} <= known, f"{block}: {line}"


def _without_config(words: list[str]) -> list[str]:
    if "--config" in words:
        at = words.index("--config")
        return [*words[:at], *words[at + 2 :]]
    return words
