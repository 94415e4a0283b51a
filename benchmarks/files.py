"""A CSV of 100,000 rows to stored messages, and the memory that takes."""

from __future__ import annotations

import csv
import sqlite3
import threading
import time
from pathlib import Path

from benchmarks.kit import Figure, memory_mb, site

ROWS = 100_000
FLOW = """
triggers: [{file: "inbox/*.csv", settle: 0s, columns: {telefon: phone, ad: text, vade: date, tutar: number}}]
steps:
  - for_each: event.rows
    as: row
    steps:
      - when: row.vade > date("2020-01-01")
        send:
          to: "{{ row.telefon }}"
          text: "Merhaba {{ row.ad }}, {{ row.vade | date('d MMMM') }} vadeli {{ row.tutar | money('TRY') }} faturanız var."
"""


def rows() -> list[Figure]:
    """From the rename into the drop folder to the last stored message; the baseline only reads the file with Python's csv."""
    with site(limit="1/hour") as place:
        place.flow("rows", FLOW)
        (place.root / "inbox").mkdir()
        draft = place.root / "rows.csv"
        _write(draft)
        started = time.monotonic()
        with draft.open(encoding="cp1254", newline="") as file:
            assert sum(1 for _ in csv.DictReader(file, delimiter=";")) == ROWS
        alone = time.monotonic() - started
        daemon = place.start_daemon()
        before = memory_mb(daemon.pid)
        peak = [before]
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.05):
                peak[0] = max(peak[0], memory_mb(daemon.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.monotonic()
        draft.rename(place.root / "inbox" / "rows.csv")
        database = place.root / "data" / "conwp-bot.db"
        while _stored(database) < ROWS:
            time.sleep(0.1)
        seconds = time.monotonic() - started
        stop.set()
        watcher.join()
    return [
        Figure(
            f"a CSV of {ROWS:,} rows → stored messages",
            f"{seconds:.1f} s",
            "≤ 20 s",
            f"{seconds / alone:.0f} × reading it with csv ({alone:.2f} s)",
        ),
        Figure(
            "memory while it is worked, peak",
            f"{peak[0]:.0f} MB",
            "flat",
            f"{peak[0] / before:.2f} × idle ({before:.0f} MB)",
        ),
    ]


def _write(path: Path) -> None:
    with path.open("w", encoding="cp1254", newline="") as file:
        file.write("telefon;ad;vade;tutar\r\n")
        for n in range(ROWS):
            file.write(
                f"0555 {n // 10000 % 1000:03} {n // 100 % 100:02} {n % 100:02};Ayşe {n};31.12.2026;1.{n % 1000:03},50\r\n"
            )


def _stored(database: Path) -> int:
    conn = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        found: int = conn.execute("SELECT count(*) FROM messages").fetchone()[0]
        return found
    finally:
        conn.close()
