"""The authored form of a flow: every key that its YAML may hold, with its meaning.

Forms hold text as it was written (templates, expressions) and values where a word stands for one (lengths of time, classes).
`compile.py` leads on to the built form; `schema.py` makes the editors' JSON Schema of this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from conwp_bot.documents.fields import (
    ONE_OR_MANY,
    FilledLine,
    LimitText,
    Line,
    LocaleName,
    ShortForm,
    Zone,
    choice,
    duration,
    word,
)
from conwp_bot.documents.form import Form, Given, Wrong, kind_of
from conwp_bot.flows.fields import (
    Delimiter,
    Encoding,
    Expression,
    FilePattern,
    FilledTemplate,
    HookName,
    Methods,
    Name,
    Reason,
    Schedule,
    TriggerId,
)
from conwp_bot.flows.flow import AfterFile, CatchUp, ColumnType, Scheme, TableFormat
from conwp_bot.model.delivery import DeliveryClass, OnUnknown, OverLimit
from conwp_bot.model.problem import near_miss

_SECOND = timedelta(seconds=1)
_YEAR = timedelta(days=366)


class TriggerForm(Form):
    """What every trigger may say."""

    id: Given[TriggerId] = Field(
        default=None,
        description="Its name in `event.trigger`, unique in the flow. Default: its kind.",
        examples=["morning"],
    )


class CronForm(TriggerForm):
    """A wall-clock schedule."""

    planned = frozenset({"start"})

    cron: Schedule = Field(
        description="minute hour day month weekday, in the flow's time zone; also @hourly, @daily, @weekly, @monthly.",
        examples=["0 9 * * mon-fri", "*/15 8-18 * * *", "30 10 1 * *"],
    )
    timezone: Given[Zone] = Field(default=None, description="Default: the flow's.", examples=["Europe/Istanbul"])
    catch_up: Annotated[CatchUp, choice(CatchUp)] = Field(
        default=CatchUp.LATEST,
        description="Slots that passed while nothing ran: the latest, all, or none of them.",
        examples=["latest"],
    )
    within: Given[Annotated[timedelta, duration(least=_SECOND, most=_YEAR)]] = Field(
        default=None, description="How late a missed slot may still fire. Default: without bound.", examples=["6h"]
    )
    spread: Annotated[timedelta, duration(least=timedelta(0), most=timedelta(hours=24))] = Field(
        default=timedelta(0),
        description="Delays each slot by a part of this, the same for this flow every time, so that many flows do not start at once.",
        examples=["5m"],
    )


class WebhookForm(TriggerForm):
    """`POST /hooks/NAME`: answered 202 once the event is stored."""

    planned = frozenset({"schema", "respond"})

    webhook: HookName = Field(description="The name: the address is /hooks/NAME.", examples=["orders"])
    scheme: Annotated[Scheme, choice(Scheme, frozenset({"stripe", "shopify", "basic"}))] = Field(
        default=Scheme.STANDARD,
        description="How the sender proves itself: standard (Standard Webhooks), github, token, or none.",
        examples=["standard", "github", "token"],
    )
    secret: Given[FilledLine] = Field(
        default=None,
        description="Where the secret is: ${NAME}, file:PATH or credential:NAME. Required unless `scheme: none`.",
        examples=["${ORDERS_SECRET}"],
    )
    key: Given[Expression] = Field(
        default=None,
        description="An expression that recognises repeats: a second event with the same key is not run again.",
        examples=["event.payload.order_id"],
    )
    methods: Methods = Field(default=("POST",), description="Default: POST.", examples=["POST"])


class FileForm(TriggerForm):
    """A file that is dropped into a folder."""

    file: FilePattern = Field(
        description="A path or pattern, relative to the config's folder; taken once it has stopped changing.",
        examples=["inbox/orders-*.csv"],
    )
    format: Given[Annotated[TableFormat, choice(TableFormat, frozenset({"yaml", "xlsx", "text"}))]] = Field(
        default=None, description="csv, json or jsonl. Default: by the file's ending.", examples=["csv"]
    )
    encoding: Given[Encoding] = Field(
        default=None, description="Default: found out (UTF-8, else Windows-1254).", examples=["utf-8", "cp1254"]
    )
    delimiter: Given[Delimiter] = Field(
        default=None, description="Between columns. Default: found out.", examples=[";", "tab"]
    )
    columns: dict[str, Annotated[ColumnType, choice(ColumnType)]] = Field(
        default_factory=dict,
        description="The columns that must be there, and what their text becomes: text, phone, number, date or bool.",
        examples=[{"phone": "phone", "name": "text", "due": "date", "total": "number"}],
    )
    settle: Annotated[timedelta, duration(least=timedelta(0), most=timedelta(hours=1))] = Field(
        default=timedelta(seconds=2), description="How long a file must not have changed. Default: 2s.", examples=["2s"]
    )
    then: Annotated[AfterFile, choice(AfterFile)] = Field(
        default=AfterFile.ARCHIVE,
        description="What becomes of the file after its run: archive or delete.",
        examples=["archive"],
    )


class StepForm(Form):
    """What every step may say."""

    planned = frozenset({"timeout", "on_timeout", "until"})

    id: Given[Name] = Field(
        default=None, description="Its name in `steps.NAME`, unique in the flow.", examples=["greeting"]
    )
    name: Given[Line] = Field(
        default=None, description="What people read in the trace.", examples=["Greet the customer"]
    )
    when: Given[Expression] = Field(
        default=None,
        description="An expression without braces that gives true or false; on false the step is skipped.",
        examples=["event.payload.total > 100"],
    )


class SendBody(Form):
    """A message."""

    planned = frozenset({"pace", "expires"})

    to: Annotated[list[FilledTemplate], Field(min_length=1), ONE_OR_MANY] = Field(
        description="A phone number or several; a template.",
        examples=["{{ event.payload.phone }}", "0555 123 45 67"],
    )
    text: Given[FilledTemplate] = Field(
        default=None,
        description="The message; a template. May be left out beside `media`.",
        examples=["Merhaba {{ event.payload.name }}"],
    )
    type: Given[Annotated[str, word("text", "image", "video", "audio", "document")]] = Field(
        default=None, description="Default: text, or by the ending of `media`.", examples=["image"]
    )
    media: Given[FilledTemplate] = Field(
        default=None,
        description="The address of a picture, video, sound or document; a template.",
        examples=["https://example.com/menu.pdf"],
    )


class SendForm(StepForm):
    """Send a message."""

    send: SendBody = Field(description="The message.")


class ForEachForm(StepForm):
    """Work steps once for each item of a list."""

    for_each: Expression = Field(
        description="An expression that gives a list; `event.rows` streams a file's rows.",
        examples=["event.rows", "event.payload.items"],
    )
    item: Name = Field(
        alias="as", default="item", description="The item's name in the steps. Default: item.", examples=["invoice"]
    )
    steps: Annotated[list[Step], Field(min_length=1)] = Field(description="What to do with each.")


class SetForm(StepForm):
    """Give names to values; seen as `vars.NAME` by what follows."""

    set: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description="Names and values; text is a template, and one that is exactly one {{ … }} keeps the value's type.",
        examples=[{"total": "{{ event.payload.price * 2 }}"}],
    )


class IfForm(StepForm):
    """Go one way or the other."""

    condition: Expression = Field(
        alias="if", description="An expression without braces that gives true or false.", examples=["event.payload.vip"]
    )
    then: Annotated[list[Step], Field(min_length=1)] = Field(description="What to do when it is true.")
    otherwise: Given[Annotated[list[Step], Field(min_length=1)]] = Field(
        alias="else", default=None, description="What to do when it is false."
    )


class LogBody(Form):
    """A line for the log and the trace."""

    text: FilledTemplate = Field(description="The line; a template.", examples=["{{ event.payload.id }} was skipped"])
    level: Annotated[str, word("debug", "info", "warning", "error")] = Field(
        default="info", description="Default: info.", examples=["warning"]
    )


_TEXT_OR_LOG = ShortForm(
    lambda value: value if isinstance(value, dict) else {"text": value}, lambda _: {"type": ["string", "number"]}
)


class LogForm(StepForm):
    """Write a line to the log and the trace."""

    log: Annotated[LogBody, _TEXT_OR_LOG] = Field(
        description="The line; a template, or {text, level}.", examples=["nothing to do today"]
    )


class StopForm(StepForm):
    """End the run here; messages already made stay."""

    stop: Reason = Field(description="Why; a template. May be empty.", examples=["nothing to do today"])


STEP_KINDS = ("send", "for_each", "set", "if", "log", "stop")
STEP_KINDS_PLANNED = ("wait", "wait_for", "until", "http", "call")
TRIGGER_KINDS = ("cron", "webhook", "file")
TRIGGER_KINDS_PLANNED = ("every", "at")


def _tag_of(kinds: tuple[str, ...], value: Any) -> str | None:
    return next((f"<{kind}>" for kind in kinds if kind in value), None) if isinstance(value, dict) else None


def _one_kind(what: str, kinds: tuple[str, ...], planned: tuple[str, ...], value: Any) -> Any:
    listed = ", ".join(kinds)
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a {what}, not {kind_of(value)}", f"one of: {listed}")
    given = [kind for kind in kinds if kind in value]
    if len(given) == 1:
        return value
    if given:
        raise Wrong(f"a {what} does one thing, but this one has {' and '.join(given)}", f"make it {len(given)} {what}s")
    for key in value:
        if key in planned:
            raise Wrong(f"{key} is not supported yet", f"a {what} is one of: {listed}")
    for key in value:
        close = near_miss(key, kinds)
        if close and key not in ("id", "when", "name", "as"):
            raise Wrong(f'"{key[:40]}" is no {what}', close)
    raise Wrong(f"a {what} needs one of: {listed}")


def _step_tag(value: Any) -> str | None:
    return _tag_of(STEP_KINDS, value)


def _trigger_tag(value: Any) -> str | None:
    return _tag_of(TRIGGER_KINDS, value)


def _step_kind(value: Any) -> Any:
    return _one_kind("step", STEP_KINDS, STEP_KINDS_PLANNED, value)


def _trigger_kind(value: Any) -> Any:
    return _one_kind("trigger", TRIGGER_KINDS, TRIGGER_KINDS_PLANNED, value)


Step = Annotated[
    Annotated[SendForm, Tag("<send>")]
    | Annotated[ForEachForm, Tag("<for_each>")]
    | Annotated[SetForm, Tag("<set>")]
    | Annotated[IfForm, Tag("<if>")]
    | Annotated[LogForm, Tag("<log>")]
    | Annotated[StopForm, Tag("<stop>")],
    Discriminator(_step_tag),
    BeforeValidator(_step_kind),
]
AuthoredTrigger = Annotated[
    Annotated[CronForm, Tag("<cron>")] | Annotated[WebhookForm, Tag("<webhook>")] | Annotated[FileForm, Tag("<file>")],
    Discriminator(_trigger_tag),
    BeforeValidator(_trigger_kind),
]


class DeliveryForm(Form):
    """How the flow's messages are delivered."""

    planned = frozenset({"quiet_hours", "per_recipient", "pace"})

    klass: Annotated[DeliveryClass, choice(DeliveryClass)] = Field(
        alias="class",
        default=DeliveryClass.NORMAL,
        description="alert goes first; campaign takes what is left.",
        examples=["alert"],
    )
    limit: Given[LimitText] = Field(
        default=None, description="The flow's own rate. Default: none.", examples=["200/hour"]
    )
    over_limit: Annotated[OverLimit, choice(OverLimit)] = Field(
        default=OverLimit.WAIT, description="What is over the limit waits, or is dropped.", examples=["wait"]
    )
    expires: Given[Annotated[timedelta, duration(least=_SECOND, most=_YEAR)]] = Field(
        default=None,
        description="A message not accepted by then is expired. Default: 24h (alert 1h).",
        examples=["24h"],
    )
    on_unknown: Given[Annotated[OnUnknown, choice(OnUnknown)]] = Field(
        default=None,
        description="A send whose answer was lost: hold, resend or drop. Default: hold (alert resend, campaign drop).",
        examples=["hold"],
    )
    attempts: int = Field(
        default=8, ge=1, le=100, description="Tries of a message that certainly was not sent. Default: 8.", examples=[8]
    )
    account: Given[FilledLine] = Field(
        default=None, description="The config's account that sends. Default: default.", examples=["default"]
    )


class FlowForm(Form):
    """A flow: when this happens, send that message."""

    planned = frozenset({"dedupe", "group", "mode", "mode_key", "max_runs", "on_failure", "expect", "schema"})

    description: Line = Field(
        default="", description="What the flow is for.", examples=["Remind customers the day before"]
    )
    timezone: Given[Zone] = Field(default=None, description="Default: the config's.", examples=["Europe/Istanbul"])
    locale: Given[LocaleName] = Field(
        default=None,
        description="How dates, numbers and money are written. Default: the config's.",
        examples=["tr_TR", "en_GB"],
    )
    triggers: Annotated[list[AuthoredTrigger], ONE_OR_MANY] = Field(
        default_factory=list,
        description="When the flow starts; without any it is fired by hand.",
        examples=[[{"cron": "0 9 * * mon-fri"}]],
    )
    vars: dict[str, Any] = Field(
        default_factory=dict,
        description="Values by name, seen as `vars.NAME`; text is a template.",
        examples=[{"shop": "Çiçekçi"}],
    )
    when: Given[Expression] = Field(
        default=None,
        description="An expression without braces; on false an event makes no run.",
        examples=["event.payload.total > 0"],
    )
    steps: Annotated[list[Step], Field(min_length=1)] = Field(description="What to do, in order.")
    delivery: DeliveryForm = Field(
        default_factory=lambda: DeliveryForm.model_validate({}), description="How its messages are delivered."
    )


ForEachForm.model_rebuild()
IfForm.model_rebuild()
FlowForm.model_rebuild()
