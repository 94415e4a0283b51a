"""Secrets from where a config or a flow says they are: the environment, a file, or systemd's credentials."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conwp_bot.documents.secrets import SecretKind, SecretSource
from conwp_bot.model.secret import Secret

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What a source gave: the secret, or None with the reason; and a warning that does not keep it from being used."""

    secret: Secret | None
    missing: str | None = None
    warning: str | None = None
    hint: str | None = None


def resolve_secret(source: str, root: Path, environ: Mapping[str, str]) -> Secret | None:
    """Return the secret that `source` names, or None while it gives nothing; never raises.

    `${NAME}` is a variable of `environ`; `file:PATH` a file (relative to `root`), its surrounding white space dropped;
    `credential:NAME` a file in systemd's `$CREDENTIALS_DIRECTORY`; any other text is the secret itself.
    """
    return find_secret(source, root, environ).secret


def find_secret(source: str, root: Path, environ: Mapping[str, str]) -> Found:
    """Do the same, and say why there is none, or what is unsafe about it."""
    try:
        parsed = SecretSource.parse(source)
    except ValueError as error:
        return Found(None, missing=str(error))
    match parsed.kind:
        case SecretKind.VARIABLE:
            value = environ.get(parsed.name, "").strip()
            if value:
                return Found(Secret(value))
            return Found(
                None,
                missing=f"the environment variable {parsed.name} is not set",
                hint=f"set it, e.g. export {parsed.name}=…, or name another source: file:PATH, credential:NAME",
            )
        case SecretKind.FILE:
            return _from_file(root / Path(parsed.name).expanduser())
        case SecretKind.CREDENTIAL:
            folder = environ.get(CREDENTIALS_DIRECTORY, "")
            if not folder:
                return Found(
                    None,
                    missing=f"there is no credential {parsed.name}: ${CREDENTIALS_DIRECTORY} is not set",
                    hint=f"systemd sets it for a unit with LoadCredential={parsed.name}:PATH",
                )
            return _from_file(Path(folder) / parsed.name)
        case SecretKind.CLEAR:
            return Found(
                Secret(parsed.name) if parsed.name else None,
                missing=None if parsed.name else "it is empty",
                warning="the secret stands in the file in clear",
                hint="name its place instead: ${NAME}, file:PATH or credential:NAME",
            )


def _from_file(path: Path) -> Found:
    try:
        if not path.is_file():  # a pipe would block, a folder says little
            return Found(None, missing=f"there is no file {path}")
        with path.open("rb") as handle:
            mode = path.stat().st_mode
            value = handle.read(_LARGEST).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        return Found(None, missing=f"{path} cannot be read: {why}")
    if not value:
        return Found(None, missing=f"{path} is empty")
    if mode & stat.S_IROTH:
        return Found(Secret(value), warning=f"everybody on this machine can read {path}", hint=f"chmod 600 {path}")
    return Found(Secret(value))
