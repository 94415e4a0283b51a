"""A flow's triggers, from their forms to their built values."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from conwp_bot.documents.document import Path, Position
from conwp_bot.documents.secrets import SecretKind, SecretSource
from conwp_bot.flows.compile_fields import EVENT_NAMES, Fields
from conwp_bot.flows.flow import CronTrigger, FileTrigger, Scheme, TableFormat, Trigger, WebhookTrigger
from conwp_bot.flows.form import CronForm, FileForm, TriggerForm, WebhookForm
from conwp_bot.model.problem import Severity

_ENDINGS = {
    "csv": TableFormat.CSV,
    "tsv": TableFormat.CSV,
    "json": TableFormat.JSON,
    "jsonl": TableFormat.JSONL,
    "ndjson": TableFormat.JSONL,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that only one flow may have: a webhook's name, or a file pattern; and where the flow says so."""

    kind: str
    name: str
    path: str
    position: Position


def compile_triggers(
    forms: list[CronForm | WebhookForm | FileForm], fields: Fields, zone: ZoneInfo
) -> tuple[tuple[Trigger, ...], tuple[Claim, ...]]:
    """Build the triggers of a flow whose zone is `zone`, and say what they claim among all flows."""
    triggers: list[Trigger] = []
    claims: list[Claim] = []
    ids = _ids(forms, fields)
    for index, (form, name) in enumerate(zip(forms, ids, strict=True)):
        path: Path = ("triggers", index)
        claim: Claim | None = None
        match form:
            case CronForm():
                triggers.append(
                    CronTrigger(name, form.cron, form.timezone or zone, form.catch_up, form.within, form.spread)
                )
            case WebhookForm():
                triggers.append(_webhook(form, name, path, fields))
                claim = _claim("webhook", form.webhook, (*path, "webhook"), fields)
            case FileForm():
                triggers.append(_file(form, name, path, fields))
                claim = _claim("file", posixpath.normpath(form.file), (*path, "file"), fields)
        if claim is not None:
            if any((each.kind, each.name) == (claim.kind, claim.name) for each in claims):
                fields.note(
                    (*path, claim.kind), f'two triggers of this flow have the {claim.kind} "{claim.name}"', "remove one"
                )
            claims.append(claim)
    return tuple(triggers), tuple(claims)


def _claim(kind: str, name: str, path: Path, fields: Fields) -> Claim:
    return Claim(kind, name, fields.document.show(path), fields.document.position(path))


def _ids(forms: list[CronForm | WebhookForm | FileForm], fields: Fields) -> list[str]:
    """Return the triggers' ids: given, or `cron`, `webhook`, `file`, `cron-2`… in their order."""
    given = Counter(form.id for form in forms if form.id is not None)
    taken: set[str] = set()
    ids = []
    for index, form in enumerate(forms):
        if form.id is not None:
            if form.id in taken:
                fields.note(("triggers", index, "id"), f'two triggers have the id "{form.id}"', "give each its own")
            name = form.id
        else:
            kind = _kind(form)
            name, number = kind, 1
            while name in taken or name in given:
                number += 1
                name = f"{kind}-{number}"
        taken.add(name)
        ids.append(name)
    return ids


def _kind(form: TriggerForm) -> str:
    return {CronForm: "cron", WebhookForm: "webhook", FileForm: "file"}[type(form)]


def _webhook(form: WebhookForm, name: str, path: Path, fields: Fields) -> WebhookTrigger:
    _check_secret(form, path, fields)
    key = fields.expression((*path, "key"), form.key, EVENT_NAMES) if form.key is not None else None
    return WebhookTrigger(name, form.webhook, form.scheme, form.secret, key, form.methods)


def _check_secret(form: WebhookForm, path: Path, fields: Fields) -> None:
    if form.scheme is Scheme.NONE:
        if form.secret is not None:
            fields.note(
                (*path, "secret"),
                "a secret is of no use with `scheme: none`: anybody may call",
                "name the scheme, or remove the secret",
            )
        return
    if form.secret is None:
        hint = "secret: ${NAME}; or `scheme: none` if anybody may call it"
        fields.note(path, f'the webhook "{form.webhook}" needs a `secret`', hint)
        return
    try:
        source = SecretSource.parse(form.secret)
    except ValueError as error:
        fields.note((*path, "secret"), str(error))
        return
    if source.kind is SecretKind.CLEAR:
        hint = "name its place instead: ${NAME}, file:PATH or credential:NAME"
        fields.note((*path, "secret"), "the secret stands in the file in clear", hint, severity=Severity.WARNING)


def _file(form: FileForm, name: str, path: Path, fields: Fields) -> FileTrigger:
    table = form.format or _format_by_ending(form, path, fields)
    if form.delimiter is not None and table in (TableFormat.JSON, TableFormat.JSONL):
        fields.note((*path, "delimiter"), f"{table} has no delimiter", "remove it, or say format: csv")
    for column in form.columns:
        if not column.strip():
            fields.note((*path, "columns", column), "a column needs a name", key=True)
    return FileTrigger(
        name, form.file, table, form.encoding, form.delimiter, dict(form.columns), form.settle, form.then
    )


def _format_by_ending(form: FileForm, path: Path, fields: Fields) -> TableFormat | None:
    stem, dot, ending = form.file.rpartition("/")[2].rpartition(".")
    if not dot or not stem or any(sign in ending for sign in "*?["):
        return None
    table = _ENDINGS.get(ending.lower())
    if table is None:
        what = (
            "a spreadsheet must be saved as CSV first"
            if ending.lower() in ("xlsx", "xls", "ods")
            else "say format: csv, json or jsonl"
        )
        fields.note((*path, "file"), f"how a .{ending} file is read is not known", what)
    return table
