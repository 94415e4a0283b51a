"""A flow's steps, from their forms to blocks of built steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from conwp_bot.documents.document import Path
from conwp_bot.errors import InvalidRecipient
from conwp_bot.flows.compile_fields import RESERVED_NAMES, RUN_NAMES, Fields
from conwp_bot.flows.flow import (
    ROOT_BLOCK,
    Condition,
    ForEachStep,
    IfStep,
    LogStep,
    SendStep,
    SetStep,
    Step,
    StopStep,
)
from conwp_bot.flows.form import (
    FileForm,
    FlowForm,
    ForEachForm,
    IfForm,
    LogForm,
    SendBody,
    SendForm,
    SetForm,
    StepForm,
    StopForm,
)
from conwp_bot.model.recipient import parse_recipient

_SEPARATOR = re.compile(r"[^,;\n\r]+")
_MOST_WRONG_NUMBERS = 10
_TAG = re.compile(r"\{[{%#]")
_KINDS_BY_ENDING = {
    **dict.fromkeys(("jpg", "jpeg", "png", "gif", "webp"), "image"),
    **dict.fromkeys(("mp4", "3gp", "mov", "webm"), "video"),
    **dict.fromkeys(("mp3", "ogg", "opus", "m4a", "aac", "amr", "wav"), "audio"),
    **dict.fromkeys(
        ("pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "csv", "txt", "zip"), "document"
    ),
}
_OWN_KEYS = {"flow": frozenset({"id", "description"}), "run": frozenset({"id", "started_at"})}


class Steps:
    """Compiles the blocks of one flow. `region` is the country of numbers without a country code."""

    def __init__(self, fields: Fields, region: str) -> None:
        self._fields = fields
        self._region = region
        self._blocks: dict[str, tuple[Step, ...]] = {}
        self._ids: set[str] = set()
        self._columns: frozenset[str] = frozenset()

    def compile(self, forms: list[Any]) -> dict[str, tuple[Step, ...]]:
        """Return every block by its address."""
        self._block(ROOT_BLOCK, forms, (ROOT_BLOCK,), RUN_NAMES)
        return self._blocks

    def learn_names(self, form: FlowForm) -> None:
        """Learn what has a name in the flow, for hints: who writes `total` may mean `vars.total`."""
        names, ids = set(form.vars), set()
        for step in _all(form.steps):
            if step.id is not None:
                ids.add(step.id)
            if isinstance(step, SetForm):
                names.update(step.set)
        self._fields.suggestions.update({id: f"steps.{id}" for id in ids} | {name: f"vars.{name}" for name in names})  # noqa: A001
        self._fields.keys |= {"vars": frozenset(names), "steps": frozenset(ids), **_OWN_KEYS}
        columns = [frozenset(each.columns) for each in form.triggers if isinstance(each, FileForm)]
        if len(columns) == len(form.triggers) and all(columns):
            self._columns = frozenset().union(*columns)

    def _block(self, address: str, forms: list[Any], path: Path, names: frozenset[str]) -> str:
        self._blocks[address] = ()  # the outer block comes first, whatever its steps hold
        self._blocks[address] = tuple(
            self._step(form, f"{address}[{index}]", (*path, index), names) for index, form in enumerate(forms)
        )
        return address

    def _step(self, form: StepForm, address: str, path: Path, names: frozenset[str]) -> Step:
        if form.id is not None:
            if form.id in self._ids:
                self._fields.note((*path, "id"), f'two steps have the id "{form.id}"', "give each its own")
            self._ids.add(form.id)
        when = self._fields.condition((*path, "when"), form.when, names) if form.when is not None else None
        match form:
            case SendForm():
                return self._send(form, address, path, names, when)
            case ForEachForm():
                return self._for_each(form, address, path, names, when)
            case SetForm():
                values = self._fields.named_values((*path, "set"), form.set, names)
                return SetStep(address, form.id, form.name, when, values)
            case IfForm():
                condition = self._fields.condition((*path, "if"), form.condition, names)
                then = self._block(f"{address}.then", form.then, (*path, "then"), names)
                otherwise = (
                    self._block(f"{address}.else", form.otherwise, (*path, "else"), names) if form.otherwise else None
                )
                return IfStep(address, form.id, form.name, when, condition, then, otherwise)
            case LogForm():
                text = self._fields.text((*path, "log", "text"), form.log.text, names)
                return LogStep(address, form.id, form.name, when, text, form.log.level)
            case StopForm():
                reason = self._fields.text((*path, "stop"), form.stop, names) if form.stop else None
                return StopStep(address, form.id, form.name, when, reason)
        raise TypeError(f"no such step: {type(form).__name__}")

    def _for_each(
        self, form: ForEachForm, address: str, path: Path, names: frozenset[str], when: Condition | None
    ) -> ForEachStep:
        items = self._fields.expression((*path, "for_each"), form.for_each, names)
        if form.item in names - RUN_NAMES:
            self._fields.note(
                (*path, "as"),
                f'the loop around this one has the name "{form.item}" already',
                "give each its own with `as`",
            )
        elif form.item in RESERVED_NAMES:
            self._fields.note((*path, "as"), f'"{form.item}" means something else already', "e.g. as: item")
        if self._columns and form.for_each.strip() == "event.rows":
            self._fields.keys[form.item] = self._columns
        block = self._block(f"{address}.steps", form.steps, (*path, "steps"), names | {form.item})
        self._fields.keys.pop(form.item, None)
        return ForEachStep(address, form.id, form.name, when, items, form.item, block)

    def _send(
        self, form: SendForm, address: str, path: Path, names: frozenset[str], when: Condition | None
    ) -> SendStep:
        body, at = form.send, (*path, "send")
        for index, source in enumerate(body.to):
            self._check_literal_recipients(source, (*at, "to", index))
        to = tuple(self._fields.text((*at, "to", index), source, names) for index, source in enumerate(body.to))
        if body.text is None and body.media is None:
            self._fields.note(at, 'the key "text" is missing')
        text = self._fields.text((*at, "text"), body.text or "", names)
        media = self._fields.text((*at, "media"), body.media, names) if body.media is not None else None
        return SendStep(address, form.id, form.name, when, to, text, self._kind(body, at), media)

    def _kind(self, body: SendBody, at: Path) -> str:
        """Return ConWP's `message_type`: as written, or by the ending of the medium's address."""
        if body.media is None:
            if body.type not in (None, "text"):
                self._fields.note(
                    (*at, "type"), f'the type "{body.type}" needs a `media` beside it', 'e.g. media: "https://…"'
                )
            return body.type or "text"
        if not _TAG.search(body.media) and not body.media.strip().startswith(("http://", "https://")):
            self._fields.note((*at, "media"), "the address must begin with http:// or https://")
        if body.type == "text":
            self._fields.note((*at, "type"), 'the type "text" has no `media`', "one of: image, video, audio, document")
        if body.type is not None:
            return body.type
        path, _, _ = body.media.strip().partition("?")
        kind = _KINDS_BY_ENDING.get(path.rpartition("/")[2].rpartition(".")[2].lower())
        if kind is None:
            self._fields.note(
                (*at, "media"),
                "the ending does not say what this is",
                "write `type` beside it: image, video, audio or document",
            )
        return kind or "document"

    def _check_literal_recipients(self, source: str, path: Path) -> None:
        """Check numbers that are written out; those from a template are known only when it is rendered."""
        if _TAG.search(source):
            return
        found, wrong = False, 0
        for part in _SEPARATOR.finditer(source):
            if not part[0].strip():
                continue
            found = True
            try:
                parse_recipient(part[0].strip(), self._region)
            except InvalidRecipient as error:
                begin = part.start() + len(part[0]) - len(part[0].lstrip())
                hint = (
                    'a value from the event needs braces: "{{ … }}"' if "event" in part[0] or "." in part[0] else None
                )
                self._fields.note_at(path, source, begin, str(error), hint)
                wrong += 1
                if wrong == _MOST_WRONG_NUMBERS:
                    return
        if not found:
            self._fields.note(path, "no number is written here")


def _all(forms: list[Any]) -> Iterator[StepForm]:
    """Yield every step, also those inside others."""
    for form in forms:
        yield form
        if isinstance(form, ForEachForm):
            yield from _all(form.steps)
        elif isinstance(form, IfForm):
            yield from _all(form.then)
            yield from _all(form.otherwise or [])
