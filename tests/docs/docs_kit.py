"""Reading Markdown: pages, sections, tables and fenced blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CELLS = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block, with where it stands."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page that users read."""
    return [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(*kinds: str) -> list[Block]:
    """Return the fenced blocks of all pages that are of one of these kinds."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match["kind"] in kinds:
                line = text.count("\n", 0, match.start()) + 2
                indent = match["indent"]
                body = "".join(each.removeprefix(indent) for each in match["text"].splitlines(keepends=True))
                found.append(Block(page, line, match["kind"], body))
    return found


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of any level; raises KeyError when there is none."""
    found = list(_HEADING.finditer(prose(text)))
    bare = prose(text)
    for number, match in enumerate(found):
        if match[1].strip("` ") == heading:
            end = found[number + 1].start() if number + 1 < len(found) else len(bare)
            return bare[match.end() : end]
    raise KeyError(f"no heading {heading!r} (headings: {', '.join(match[1] for match in found)})")


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of every table in a text, the head rows left out."""
    previous: list[str] | None = None
    in_table = False
    for line in text.splitlines():
        if not line.startswith("|"):
            previous, in_table = None, False
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line.strip().strip("|"))]
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            in_table = True
        elif in_table:
            yield cells
        previous = cells
    assert previous is None or in_table


def codes(cell: str) -> list[str]:
    """Return the texts in code marks of a cell."""
    return _CODE.findall(cell)
