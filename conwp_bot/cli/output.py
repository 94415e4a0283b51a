"""How commands speak: tables and colours on a terminal, aligned plain text elsewhere, JSON for programs.

What comes from payloads (texts, reasons, names) is escaped: it moves no terminal and makes no line of its own.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import click

from conwp_bot.telemetry import escape_controls

STATE_STYLES = {
    "accepted": "green",
    "done": "green",
    "live": "green",
    "pending": "yellow",
    "claimed": "yellow",
    "in_flight": "yellow",
    "running": "yellow",
    "unknown": "magenta",
    "held": "magenta",
    "failed": "red",
    "expired": "red",
    "broken": "red",
    "cancelled": "dim",
    "suppressed": "dim",
    "skipped": "dim",
    "stopped": "dim",
    "off": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, whether its cells stand to the right or name a state, and whether they are prose.

    Prose wraps where the terminal is narrow (all else stays whole, to be copied), and its column is left out when it is empty.
    """

    title: str
    right: bool = False
    state: bool = False
    prose: bool = False


def on_terminal() -> bool:
    """Say whether a person reads this."""
    return sys.stdout.isatty()


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line; what the stream cannot write is escaped."""
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)


def say_json(value: Any) -> None:
    """Print JSON."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    say(json.dumps(value, ensure_ascii=encoding != "utf8", indent=2))


def say_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; cells are one line each."""
    kept = [number for number, each in enumerate(columns) if not each.prose or any(row[number] for row in rows)]
    columns = [columns[number] for number in kept]
    cells = [[escape_controls(row[number]) for number in kept] for row in rows]
    if on_terminal():
        _rich_table(columns, cells)
        return
    titles = [column.title for column in columns]
    widths = [max(map(_width, column)) for column in zip(titles, *cells, strict=True)]
    for row in [titles, *cells]:
        parts = [_padded(cell, width, column.right) for cell, width, column in zip(row, widths, columns, strict=True)]
        say("  ".join(parts).rstrip())


def say_facts(facts: Sequence[tuple[str, str | None]]) -> None:
    """Print names and values below each other; what is None is left out."""
    width = max((len(name) for name, value in facts if value is not None), default=0)
    for name, value in facts:
        if value is not None:
            say(f"{click.style(f'{name:<{width}}', bold=True)}  {escape_controls(value)}")


def state_text(state: str) -> str:
    """Colour a state, for a line of text."""
    style = STATE_STYLES.get(state)
    return click.style(state, dim=True) if style == "dim" else click.style(state, fg=style)


def say_block(text: str, indent: str = "    ") -> None:
    """Print a text of several lines, indented, so that none of them passes for a line of ours."""
    for line in text.split("\n"):
        say(indent + escape_controls(line))


def say_bubble(title: str, text: str, footer: str) -> None:
    """Print a message as a phone shows it, on a terminal; as an indented text elsewhere."""
    if not on_terminal():
        say(f"{escape_controls(title)}  ({escape_controls(footer)})")
        say_block(text)
        return
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    body = Text("\n".join(escape_controls(line) for line in text.split("\n")))
    console = Console(highlight=False, emoji=False)
    console.print(
        Panel(
            body,
            title=Text(escape_controls(title), style="bold green"),
            title_align="left",
            subtitle=Text(escape_controls(footer), style="dim"),
            subtitle_align="right",
            box=ROUNDED,
            border_style="green",
            expand=False,
            width=None if body.cell_len < 60 and len(text) < 60 else min(72, console.width),
        )
    )


def instant_text(instant: datetime | None) -> str | None:
    """Write an instant for programs: ISO 8601, UTC, milliseconds; None stays None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(instant: datetime | None, now: datetime, zone: tzinfo) -> str:
    """Write an instant for people on a clock of `zone`: the time alone when it is today."""
    if instant is None:
        return "-"
    local = instant.astimezone(zone)
    return local.strftime("%H:%M:%S" if local.date() == now.astimezone(zone).date() else "%Y-%m-%d %H:%M")


def shortened(text: str, longest: int) -> str:
    """Return the beginning of a text as one line."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _padded(text: str, width: int, right: bool) -> str:
    gap = " " * (width - _width(text))
    return gap + text if right else text + gap


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title, justify="right" if column.right else "left", overflow="fold", no_wrap=not column.prose
        )
    for row in rows:
        table.add_row(
            *(
                Text(cell, style=STATE_STYLES.get(cell, "") if column.state else "")
                for cell, column in zip(row, columns, strict=True)
            )
        )
    Console(highlight=False, emoji=False).print(table)
