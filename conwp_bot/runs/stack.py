"""Where a run is: the blocks it is in, from the outermost to the innermost, and the names that their loops give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conwp_bot.flows.flow import Flow, ForEachStep, Step
from conwp_bot.model.run import Frame
from conwp_bot.runs.keep import kept

_NOTHING = object()


class Level:
    """A block being worked through: a `Frame` that moves.

    `index` is the number of the item at hand, from 1; 0 before the first. Between two items `at` stands behind the last step.
    """

    __slots__ = ("at", "block", "current", "index", "items", "loop", "name", "shadowed", "steps")

    def __init__(self, frame: Frame, steps: tuple[Step, ...]) -> None:
        self.block = frame.block
        self.steps = steps
        self.at = frame.at
        self.loop = frame.loop
        self.name = frame.name
        self.index = frame.index
        self.items = frame.items
        self.current = frame.current
        self.shadowed: Any = _NOTHING

    @property
    def streamed(self) -> bool:
        """Say whether this is a loop over the event's rows."""
        return self.loop and self.items is None


class Stack:
    """The levels of a run; keeps the loops' names in the scope up to date."""

    def __init__(self, flow: Flow, frames: Sequence[Frame], scope: dict[str, Any]) -> None:
        self._flow = flow
        self._scope = scope
        self.levels: list[Level] = []
        for frame in frames:
            level = Level(frame, flow.blocks[frame.block])
            self._push(level)
            if level.loop and level.items is not None:
                level.items = kept(level.items, flow.timezone, level.name)
                if level.index:
                    scope[level.name] = level.items[level.index - 1]
            elif level.loop and level.current is not None:
                scope[level.name] = level.current

    def enter(self, block: str) -> None:
        """Go into a block."""
        self._push(Level(Frame(block), self._flow.blocks[block]))

    def loop(self, step: ForEachStep, items: list[Any] | None) -> None:
        """Go into a loop, before its first item; None for the event's rows."""
        steps = self._flow.blocks[step.block]
        self._push(Level(Frame(step.block, len(steps), loop=True, name=step.item_name, items=items), steps))

    def take(self, level: Level, item: Any, number: int) -> None:
        """Begin the innermost loop's next item."""
        level.index = number
        level.at = 0
        level.current = item if level.items is None else None
        self._scope[level.name] = item

    def leave(self) -> None:
        """Leave the innermost level."""
        level = self.levels.pop()
        if not level.loop:
            return
        if level.shadowed is _NOTHING:
            self._scope.pop(level.name, None)
        else:
            self._scope[level.name] = level.shadowed

    def leave_to(self, depth: int) -> None:
        """Leave levels until `depth` are left."""
        while len(self.levels) > depth:
            self.leave()

    def owner(self, level: Level) -> ForEachStep:
        """Return the step that a loop's level belongs to."""
        around = self.levels[self.levels.index(level) - 1]
        step = around.steps[around.at - 1]
        assert isinstance(step, ForEachStep)
        return step

    @property
    def item(self) -> int | None:
        """The number of the item that the innermost loop is at."""
        for level in reversed(self.levels):
            if level.loop:
                return level.index
        return None

    @property
    def here(self) -> Step | None:
        """The step at hand, None before the first."""
        level = self.levels[-1] if self.levels else None
        return level.steps[level.at - 1] if level is not None and level.at else None

    def frames(self) -> tuple[Frame, ...]:
        """Return the levels as they are stored."""
        return tuple(
            Frame(level.block, level.at, level.loop, level.name, level.index, level.items, level.current)
            for level in self.levels
        )

    def _push(self, level: Level) -> None:
        if level.loop:
            level.shadowed = self._scope.get(level.name, _NOTHING)
        self.levels.append(level)
