"""The built form of a flow: what its YAML became once it had no problem.

The authored form (strict, with positions) is `form.py`; `compile.py` leads from there to here. Everything is immutable and
shared between runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from conwp_bot.model.delivery import DeliveryPolicy

Scope = Mapping[str, Any]
"""What a template sees: names to values. Made by `runs.scope`, which also puts the locale, the zone and `now` where filters find them."""


class Text(Protocol):
    """A text field: a Jinja template that gives a string."""

    @property
    def source(self) -> str:
        """The template as the author wrote it."""

    def render(self, scope: Scope) -> str:
        """Return the text; raises RenderFailed with the field and the cause."""


class Value(Protocol):
    """A field that gives any value: an expression (`when`, `for_each`, `key`), or a `set`/`vars` value."""

    @property
    def source(self) -> str:
        """The expression as the author wrote it."""

    def evaluate(self, scope: Scope) -> Any:
        """Return the value; raises RenderFailed with the field and the cause."""


class Condition(Protocol):
    """A `when`: an expression that gives true or false, not merely something truthy."""

    @property
    def source(self) -> str:
        """The expression as the author wrote it."""

    def holds(self, scope: Scope) -> bool:
        """Return the verdict; raises RenderFailed with the field and the cause, also when the value is no boolean."""


class CatchUp(StrEnum):
    """What happens to slots that passed while nothing ran."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """A wall-clock schedule.

    `within` (None: no bound) is how late a missed slot may still fire; `spread` delays each slot by a fixed part of itself,
    the same for the flow every day, so that many flows at 09:00 do not start at once.
    """

    id: str
    expression: str
    timezone: ZoneInfo
    catch_up: CatchUp = CatchUp.LATEST
    within: timedelta | None = None
    spread: timedelta = timedelta(0)


class Scheme(StrEnum):
    """How a webhook proves who sends it."""

    STANDARD = "standard"
    GITHUB = "github"
    TOKEN = "token"  # noqa: S105 - the scheme's name
    NONE = "none"


@dataclass(frozen=True, slots=True)
class WebhookTrigger:
    """`POST /hooks/NAME`. `secret` names where the secret is (`${ENV}`, `file:`, `credential:`), never the secret itself."""

    id: str
    name: str
    scheme: Scheme
    secret: str | None
    key: Value | None = None
    methods: tuple[str, ...] = ("POST",)


class TableFormat(StrEnum):
    """How a dropped file is read."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


class ColumnType(StrEnum):
    """What a column's text becomes."""

    TEXT = "text"
    PHONE = "phone"
    NUMBER = "number"
    DATE = "date"
    BOOL = "bool"


class AfterFile(StrEnum):
    """What becomes of a file once its run has ended."""

    ARCHIVE = "archive"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FileTrigger:
    """A dropped file. `pattern` is relative to the config's folder (or absolute); None for a format or encoding means: find out."""

    id: str
    pattern: str
    format: TableFormat | None = None
    encoding: str | None = None
    delimiter: str | None = None
    columns: Mapping[str, ColumnType] = field(default_factory=dict)
    settle: timedelta = timedelta(seconds=2)
    then: AfterFile = AfterFile.ARCHIVE


Trigger = CronTrigger | WebhookTrigger | FileTrigger


@dataclass(frozen=True, slots=True)
class SendStep:
    """Render one message for each recipient. `to` texts may each render to several numbers, separated by commas or line ends."""

    address: str
    id: str | None
    name: str | None
    when: Condition | None
    to: tuple[Text, ...]
    text: Text
    kind: str = "text"
    media: Text | None = None


@dataclass(frozen=True, slots=True)
class ForEachStep:
    """Work `block` once for each item; `items` giving the event's rows streams them."""

    address: str
    id: str | None
    name: str | None
    when: Condition | None
    items: Value
    item_name: str
    block: str


@dataclass(frozen=True, slots=True)
class SetStep:
    """Give names to values, in order; they are seen as `vars.NAME` by what follows."""

    address: str
    id: str | None
    name: str | None
    when: Condition | None
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class IfStep:
    """Go into one block or the other (None: nothing)."""

    address: str
    id: str | None
    name: str | None
    when: Condition | None
    condition: Condition
    then: str
    otherwise: str | None


@dataclass(frozen=True, slots=True)
class LogStep:
    """Write a line to the log and the trace."""

    address: str
    id: str | None
    name: str | None
    when: Condition | None
    text: Text
    level: str = "info"


@dataclass(frozen=True, slots=True)
class StopStep:
    """End the run here; messages already made stay."""

    address: str
    id: str | None
    name: str | None
    when: Condition | None
    reason: Text | None


Step = SendStep | ForEachStep | SetStep | IfStep | LogStep | StopStep

ROOT_BLOCK = "steps"


@dataclass(frozen=True, slots=True)
class Flow:
    """One file, built. `blocks` holds every list of steps by its address (`steps`, `steps[0].steps`, `steps[2].then`…)."""

    id: str
    hash: str
    source: str
    file: str
    description: str
    timezone: ZoneInfo
    locale: str
    triggers: tuple[Trigger, ...]
    when: Condition | None
    vars: Mapping[str, Value]
    blocks: Mapping[str, tuple[Step, ...]]
    delivery: DeliveryPolicy


@dataclass(frozen=True, slots=True)
class FlowSet:
    """All flows that are live together, by id. Immutable: a reload makes another."""

    flows: Mapping[str, Flow] = field(default_factory=dict)
