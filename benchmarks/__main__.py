"""`python -m benchmarks [NAME…]`: run the benchmarks and print their table; `--list` names them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import files, starting, webhooks
from benchmarks.kit import Figure

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "stored": webhooks.stored,
    "accepted": webhooks.accepted,
    "latency": webhooks.latency,
    "csv": files.rows,
    "loading": starting.loading,
    "reload": starting.reload,
    "starting": starting.starting,
    "idle": starting.idle,
}


def main(words: list[str]) -> int:
    if "--list" in words:
        print("\n".join(BENCHMARKS))
        return 0
    unknown = [word for word in words if word not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
        return 2
    print("| figure | measured | aim | ratio in this run |\n|---|---|---|---|", flush=True)
    for name in words or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            print(f"| {figure.name} | {figure.value} | {figure.aim} | {figure.ratio} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
