"""Faults on demand: what goes wrong with which requests, and how often."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from conwp_bot.model.problem import near_miss
from conwp_bot.sandbox.contract import METHODS, Ask


class FaultKind(StrEnum):
    """What goes wrong. Whether the messages are accepted nevertheless is the rule's `accept`, by default as said here."""

    LATENCY = "latency"  # answered as usual, but late; accepted
    STATUS = "status"  # this code; not accepted
    CUT_BEFORE = "cut_before"  # connection ended without an answer; not accepted
    CUT_AFTER = "cut_after"  # connection ended without an answer; accepted
    CUT_MID_ANSWER = "cut_mid_answer"  # headers and half of the body, then the end; accepted
    DRIP = "drip"  # the answer's body, a byte now and then; accepted
    GARBAGE = "garbage"  # 200 and a body that is not what it says; accepted
    HTML = "html"  # 502 and a proxy's page; not accepted
    EMPTY = "empty"  # 200 and an empty body; accepted
    SUCCESS_FALSE = "success_false"  # 200 and `success: false`; not accepted
    PARTIAL_BULK = "partial_bulk"  # bulk requests only: the first `failed` messages are not accepted
    HANG = "hang"  # no answer, the connection stays open; not accepted
    CLOSE_AFTER_ANSWER = "close_after_answer"  # answered as usual, then closed without announcement; accepted


_NOT_ACCEPTED = frozenset(
    {FaultKind.STATUS, FaultKind.CUT_BEFORE, FaultKind.HTML, FaultKind.SUCCESS_FALSE, FaultKind.HANG}
)


class Fault(BaseModel):
    """One rule. It strikes requests that match `endpoint`, `receiver` (of any of the messages) and `key`, where given.

    It lets the first `skip` matches pass, strikes the next `times` (null: all), and is then over. `seconds` is real time:
    what `latency` and every other kind wait before they act, how long a `drip` takes as a whole, and after how long a `hang` ends
    in a cut (null: never). `unread` cuts before the body is read; `reset` ends a connection by RST instead of FIN; `raw` makes garbage
    of the whole answer instead of its body.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    endpoint: str | None = None
    receiver: str | None = None
    key: str | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[float, Field(ge=0, le=86400)] | None = None
    accept: bool | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: Any = None
    retry_after: Annotated[str, Field(pattern=r"^[ -~]{1,200}$")] | Annotated[int, Field(ge=0)] | None = None
    failed: Annotated[int, Field(ge=1)] = 1
    unread: bool = False
    reset: bool = False
    raw: bool = False

    @property
    def accepts(self) -> bool:
        """Whether the request is carried out as if nothing were wrong."""
        return self.kind not in _NOT_ACCEPTED if self.accept is None else self.accept

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind is FaultKind.STATUS and self.status is None:
            raise ValueError("a status fault needs `status`, e.g. 500")
        if self.endpoint is not None and self.endpoint not in METHODS:
            hint = near_miss(self.endpoint, METHODS)
            raise ValueError(f"no such endpoint: {self.endpoint!r}; {hint or 'there are ' + ', '.join(METHODS)}")
        if self.unread and (self.kind is not FaultKind.CUT_BEFORE or self.receiver is not None):
            raise ValueError("`unread` goes with cut_before, and without `receiver`: that stands in the body")
        if self.kind is FaultKind.CUT_BEFORE and self.accept:
            raise ValueError("cut_before is never accepted; write cut_after")
        return self


_RULES = TypeAdapter(list[Fault])


class FaultBook:
    """The rules that are in force; the first that matches a request strikes it."""

    def __init__(self) -> None:
        self._rules: list[list[Any]] = []  # [fault, matches to let pass, strikes left or None]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def replace(self, rules: list[Fault]) -> None:
        """Put these rules in force instead of the present ones."""
        self._rules = [[rule, rule.skip, rule.times] for rule in rules]

    def take(self, ask: Ask, *, unread: bool) -> Fault | None:
        """Return the fault that strikes this request, and count the strike; `unread` asks before the body is known."""
        for entry in self._rules:
            fault: Fault = entry[0]
            if fault.unread is not unread or not _matches(fault, ask):
                continue
            if entry[1] > 0:
                entry[1] -= 1
                continue
            if entry[2] is not None:
                entry[2] -= 1
                if entry[2] == 0:
                    self._rules.remove(entry)
            return fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rules with what is left of `skip` and `times`."""
        return [
            {**fault.model_dump(mode="json", exclude_unset=True), "skip": skip, "times": times}
            for fault, skip, times in self._rules
        ]


def _matches(fault: Fault, ask: Ask) -> bool:
    if fault.endpoint is not None and fault.endpoint != ask.endpoint:
        return False
    if fault.key is not None and fault.key != ask.key:
        return False
    if fault.kind is FaultKind.PARTIAL_BULK and ask.endpoint != "send-bulk-message":
        return False
    return fault.receiver is None or any(message["receiver"] == fault.receiver for message in ask.messages)


def parse_faults(said: object) -> list[Fault]:
    """Read a list of rules (or a single one); raises ValueError that names every problem."""
    try:
        return _RULES.validate_python([said] if isinstance(said, dict) else said)
    except ValidationError as error:
        raise ValueError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """Write all findings of a form in one line: `[0].kind: …; [1].times: …`."""
    return "; ".join(
        "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"]).lstrip(".")
        + f": {found['msg'].removeprefix('Value error, ')}"
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    )
