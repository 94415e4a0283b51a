"""Where a secret is, as a config or a flow names it; the secret itself is read by `settings.secrets`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


class SecretKind(StrEnum):
    """The ways to name a secret."""

    VARIABLE = "variable"
    FILE = "file"
    CREDENTIAL = "credential"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A source taken apart; `name` is the variable, the path, the credential, or the secret itself when it is in clear."""

    kind: SecretKind
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretSource:
        """Read `${NAME}`, `file:PATH`, `credential:NAME`, or a secret in clear; raises ValueError for a broken one of the first three."""
        whole = text.strip()
        variable = _VARIABLE.fullmatch(whole)
        if variable:
            return cls(SecretKind.VARIABLE, variable[1])
        if "${" in whole:
            raise ValueError("only a whole value can be a variable: write nothing but ${NAME} (letters, digits and _)")
        if whole.startswith("file:"):
            if not whole[5:].strip():
                raise ValueError("file: needs a path after it, e.g. file:/etc/conwp-bot/key")
            return cls(SecretKind.FILE, whole[5:].strip())
        if whole.startswith("credential:"):
            if not _CREDENTIAL.fullmatch(whole[11:]):
                raise ValueError(
                    "credential: needs a name after it (letters, digits, _ . -), e.g. credential:conwp-key"
                )
            return cls(SecretKind.CREDENTIAL, whole[11:])
        return cls(SecretKind.CLEAR, whole)
