"""Draws the table and the diagram of docs/reference/states.md from the code: `python docs/states.py` writes them, `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from conwp_bot.model.delivery import FINAL, TRANSITIONS, State

PAGE = Path(__file__).parent / "reference" / "states.md"
BEGIN, END = "<!-- drawn by docs/states.py: begin -->", "<!-- drawn by docs/states.py: end -->"


def drawing() -> str:
    """Return what stands between the marks: a mermaid diagram and the table of transitions."""
    moves: dict[tuple[State, State], list[str]] = {}
    for (source, cause), target in TRANSITIONS.items():
        moves.setdefault((source, target), []).append(cause.value)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.PENDING.value}"]
    lines += [
        f"    {source.value} --> {target.value}: {', '.join(causes)}" for (source, target), causes in moves.items()
    ]
    lines += [f"    {state.value} --> [*]" for state in State if state in FINAL]
    lines += ["```", "", "| from | cause | to |", "| --- | --- | --- |"]
    lines += [f"| {source.value} | {cause.value} | {target.value} |" for (source, cause), target in TRANSITIONS.items()]
    return "\n".join(lines)


def redrawn(page: str) -> str:
    """Return the page with its drawing made anew; raises ValueError when the marks are not there."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE} has lost its marks: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{drawing()}\n\n{END}{after}"


def main() -> int:
    """Write the page, or say whether it is as it should be."""
    page = PAGE.read_text(encoding="utf-8")
    made = redrawn(page)
    if "--check" in sys.argv[1:]:
        if page != made:
            sys.stderr.write(f"{PAGE} is not what the code says; run `python docs/states.py`\n")
        return int(page != made)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
