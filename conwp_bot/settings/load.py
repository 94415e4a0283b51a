"""config.yaml to `Settings`, with every problem at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conwp_bot.documents.document import Document
from conwp_bot.documents.encoding import LARGEST_FILE
from conwp_bot.documents.form import in_order, validate
from conwp_bot.documents.reader import read_document
from conwp_bot.documents.schema import editor_schema
from conwp_bot.documents.secrets import SecretSource
from conwp_bot.model.problem import Problem, Severity
from conwp_bot.settings.form import DEFAULT_KEY, AccountForm, ConfigForm
from conwp_bot.settings.secrets import find_secret
from conwp_bot.settings.values import AccountSettings, LogSettings, Pace, Settings, WebSettings

_ACCOUNT_NAME = re.compile(r"\w[\w.-]{0,63}")


def load_settings(file: Path, environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """Load a config file; `environ` is where `${NAME}` is looked up.

    Settings come with warnings only; with any error they are None. A key that is not there yet is a warning: its account has
    `api_key` None. All paths of the settings are absolute.
    """
    shown = str(file)
    try:
        with file.open("rb") as handle:
            source = handle.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return None, [
            Problem(
                shown, 1, 1, "", "there is no such config file", "`conwp-bot init` makes one; --config names another"
            )
        ]
    except OSError as error:
        return None, [Problem(shown, 1, 1, "", f"the config cannot be read: {error.strerror or error}")]
    document, problems = read_document(source, shown)
    if document is None:
        return None, problems
    if document.value is None:
        document.value = {}  # an empty config is all defaults
    form, more = validate(document, ConfigForm)
    problems += more
    if form is None:
        return None, in_order(problems)
    root = file.absolute().parent
    accounts, more = _accounts(form, document, root, environ)
    problems = in_order(problems + more)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return None, problems
    host, port = form.web.listen
    return Settings(
        file=file.absolute(),
        root=root,
        flows=_path(root, form.flows),
        data=_path(root, form.data),
        timezone=form.timezone,
        locale=form.locale,
        contacts=_path(root, form.contacts),
        accounts=accounts,
        web=WebSettings(host, port),
        log=LogSettings(form.log.level, form.log.format),
        retention=form.retention,
    ), problems


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of config.yaml, for editors."""
    return editor_schema(ConfigForm, "conwp-bot config")


def _path(root: Path, written: str) -> Path:
    return root / Path(written).expanduser()


def _accounts(
    form: ConfigForm, document: Document, root: Path, environ: Mapping[str, str]
) -> tuple[dict[str, AccountSettings], list[Problem]]:
    accounts: dict[str, AccountSettings] = {}
    problems: list[Problem] = []
    forms = {"default": AccountForm.model_validate({})} if form.accounts is None else form.accounts
    if not forms:
        problems.append(
            document.problem(
                ("accounts",), "at least one account is needed", "remove the key to have the account `default`"
            )
        )
    for name, each in forms.items():
        account, more = _account(name, each, document, root, environ)
        problems += more
        twin = next(
            (other for other in accounts.values() if account.api_key is not None and other.api_key == account.api_key),
            None,
        )
        if twin is not None:
            # One key under two names would be allowed its limit twice.
            message = f"this is the key of the account {twin.name} too: its limit would be counted twice"
            problems.append(document.problem(("accounts", name, "api_key"), message, "one account for each key"))
        accounts[name] = account
    return accounts, problems


def _account(
    name: str, form: AccountForm, document: Document, root: Path, environ: Mapping[str, str]
) -> tuple[AccountSettings, list[Problem]]:
    at = ("accounts", name)
    problems: list[Problem] = []
    if not _ACCOUNT_NAME.fullmatch(name):
        message = f'"{name[:40]}" is no name for an account'
        problems.append(document.problem(at, message, "letters, digits, _ . and -; at most 64", key=True))
    source = form.api_key or (DEFAULT_KEY if name == "default" else "")
    key = None
    if not source:
        problems.append(document.problem((*at, "api_key"), 'the key "api_key" is missing', "e.g. ${SHOP_API_KEY}"))
    else:
        found = find_secret(source, root, environ)
        key = found.secret
        said = found.missing or found.warning
        if said:
            severity = Severity.ERROR if _is_broken(source) else Severity.WARNING
            problems.append(document.problem((*at, "api_key"), said, found.hint, severity=severity))
        if key is not None and (not key.reveal().isascii() or not key.reveal().isprintable() or " " in key.reveal()):
            problems.append(
                document.problem(
                    (*at, "api_key"), "the key holds characters that no key has", "letters, digits and signs only"
                )
            )
    url = urlsplit(form.base_url)
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        message = "the key would travel unencrypted"
        problems.append(document.problem((*at, "base_url"), message, "use https://", severity=Severity.WARNING))
    return AccountSettings(
        name=name,
        base_url=form.base_url,
        api_key=key,
        key_source=_source_shown(source),
        limit=form.limit,
        bulk=form.bulk,
        bulk_max=form.bulk_max,
        concurrency=form.concurrency,
        timeout=form.timeout,
        pace=Pace(form.pace.every, form.pace.jitter) if form.pace else None,
    ), problems


def _is_broken(source: str) -> bool:
    try:
        SecretSource.parse(source)
    except ValueError:
        return True
    return False


def _source_shown(source: str) -> str:
    """Return the source for people to read: a key in clear is not one of them."""
    if _is_broken(source) or source.strip().startswith(("${", "file:", "credential:")):
        return source.strip()
    return "the config file"
