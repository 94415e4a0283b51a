"""A folder of files to a flow set.

Nothing of one file's trouble reaches another: a broken file keeps its last good version, and is reported. Reloading reads only
what changed; what was built once is shared by every later flow set.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from conwp_bot.documents.encoding import LARGEST_FILE
from conwp_bot.documents.form import in_order
from conwp_bot.flows.claims import settle_claims
from conwp_bot.flows.compile import Compiled, compile_source
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.find import Found, find_flow_files, stamp_of
from conwp_bot.flows.flow import FlowSet
from conwp_bot.model.problem import Problem, Severity


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load came to.

    `changed` are the flows that are new or have another version than before, `removed` those that are gone; `broken` are the
    ids whose file has an error: they run on in their last good version if they have one, and are missing otherwise.
    """

    flow_set: FlowSet
    problems: tuple[Problem, ...] = ()
    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()

    @property
    def has_errors(self) -> bool:
        """Say whether anything keeps a file from being used."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file as it was last read: its stamp then (empty: do not trust it), its content's hash, and what it came to."""

    stamp: tuple[int, ...]
    digest: bytes
    compiled: Compiled


class FlowLoader:
    """Loads one folder, again and again; not for two threads at once.

    `root` is the folder that the files' names in problems are relative to (the config's).
    """

    def __init__(self, folder: Path, defaults: FlowDefaults, *, root: Path | None = None) -> None:
        self._folder = folder
        self._defaults = defaults
        self._prefix = f"{root}{os.sep}" if root is not None else ""
        self._entries: dict[str, _Entry] = {}

    def load(self, previous: FlowSet | None = None, *, reread: bool = False) -> LoadResult:
        """Load what the folder holds now; never raises for what it holds.

        `previous` gives the last good versions (and says what counts as changed); `reread` opens every file, whatever its
        times say.
        """
        before = previous.flows if previous is not None else {}
        listing = find_flow_files(self._folder, self._shown)
        compiled: dict[str, Compiled] = {}
        entries: dict[str, _Entry] = {}
        for flow_id, found in listing.files.items():
            entry = self._entry(flow_id, found, reread=reread)
            if entry is None:
                continue
            entries[found.path] = entry
            compiled[flow_id] = entry.compiled
        self._entries = entries
        # What cannot be seen (a folder that is not mounted, a permission) says nothing about its flows: they go on.
        hidden = (
            [flow_id for flow_id in before if flow_id not in compiled and listing.hides(flow_id)]
            if listing.unreadable
            else []
        )
        compiled.update((flow_id, Compiled(None, ())) for flow_id in hidden)
        flows, broken, conflicts = settle_claims(compiled, before)
        problems = [*listing.problems, *conflicts]
        for each in compiled.values():
            problems.extend(each.problems)
        return LoadResult(
            flow_set=FlowSet(flows),
            problems=tuple(in_order(problems)),
            changed=frozenset(
                flow_id for flow_id, flow in flows.items() if flow_id not in before or before[flow_id].hash != flow.hash
            ),
            removed=frozenset(before.keys() - flows.keys()),
            broken=frozenset(broken),
        )

    def _shown(self, path: str) -> str:
        return path.removeprefix(self._prefix)

    def _entry(self, flow_id: str, found: Found, *, reread: bool) -> _Entry | None:
        """Return what a file came to, from before if it has not changed; None when it has just vanished."""
        known = self._entries.get(found.path)
        if known is not None and known.stamp == found.stamp and not reread:
            return known
        shown = self._shown(found.path)
        try:
            content, stamp = _read(found.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = Problem(shown, 1, 1, "", f"the file cannot be read: {error.strerror or error}")
            return _Entry((), b"", Compiled(None, (problem,)))
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if known is not None and known.digest == digest:
            return _Entry(stamp, digest, known.compiled)
        return _Entry(stamp, digest, compile_source(flow_id, content, shown, self._defaults))


def _read(path: str) -> tuple[bytes, tuple[int, ...]]:
    """Return a file's bytes (a little more than is allowed, at most) and its stamp, empty when it changed meanwhile."""
    # Not blocking: what was a regular file when it was listed may be a pipe now.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as handle:  # noqa: PTH123
        before = stamp_of(os.fstat(handle.fileno()))
        content = handle.read(LARGEST_FILE + 1) or b""
        after = stamp_of(os.fstat(handle.fileno()))
    return content, before if before == after else ()
