"""The state of one rendering: the names it sees, and what it has used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2.runtime import Context

from conwp_bot.flows.render.bounds import MAX_OUTPUT, MAX_WORK, Exhausted, Refusal
from conwp_bot.flows.render.settings import SETTINGS_KEY, RenderContext

if TYPE_CHECKING:
    from conwp_bot.flows.render.environment import RenderEnvironment


class Rendering(Context):
    """Jinja's context, with a budget. Every filter, test, function and method of ours gets it as its first argument."""

    environment: RenderEnvironment

    def __init__(self, environment: RenderEnvironment, parent: dict[str, Any]) -> None:
        # Not super().__init__: it builds what only template inheritance needs, for a tenth of a short text's time.
        self.parent = parent
        self.vars = {}
        self.environment = environment
        self.eval_ctx = environment.eval_context
        self.exported_vars = set()
        self.name = None
        self.blocks = {}
        self.globals_keys = set()
        self.work = MAX_WORK
        self.room = 4 * MAX_OUTPUT

    def charge(self, units: int) -> None:
        """Take units of work from the budget; raises Exhausted when they are used up."""
        self.work -= units
        if self.work < 0:
            raise Exhausted("this is more work than one message may take; loop over less, or split the step")

    def write(self, length: int) -> None:
        """Take room for written characters; more than the text's own bound, since a `set` block is written twice."""
        self.room -= length
        if self.room < 0:
            raise Exhausted(f"the text grows beyond {MAX_OUTPUT:,} characters")

    @property
    def settings(self) -> RenderContext:
        settings = self.parent.get(SETTINGS_KEY)
        if not isinstance(settings, RenderContext):
            raise Refusal("there is no locale and no time zone here")
        return settings
