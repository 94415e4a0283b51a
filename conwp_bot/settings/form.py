"""The authored form of config.yaml: every key with its meaning and default."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field

from conwp_bot.documents.fields import FilledLine, LimitText, LocaleName, Read, Zone, choice, duration, read_text, word
from conwp_bot.documents.form import Form, Given, Wrong, kind_of
from conwp_bot.model.budget import Limit
from conwp_bot.settings.values import Bulk

DEFAULT_KEY = "${CONWP_API_KEY}"
DEFAULT_BASE_URL = "https://conwp.com/yonetim/api/index.php"
_SECOND = timedelta(seconds=1)


def _read_base_url(value: Any) -> str:
    text = read_text(value).strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Wrong(f'expected an address, not "{text[:80]}"', f"e.g. {DEFAULT_BASE_URL}")
    if parts.query or parts.fragment or parts.username is not None:
        raise Wrong("an address without a query, a fragment or a password is expected", "the key belongs into api_key")
    return text


def _read_listen(value: Any) -> tuple[str, int]:
    text = value if isinstance(value, str) else ""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
        shown = f'"{text[:60]}"' if isinstance(value, str) else kind_of(value)
        raise Wrong(f"expected HOST:PORT, not {shown}", "e.g. 127.0.0.1:8700 or [::1]:8700")
    host = host[1:-1] if bracketed else host
    if not _is_loopback(host):
        raise Wrong(
            f"{host or 'every address'} can be reached from outside, and there is no password yet",
            "listen on 127.0.0.1 and put a reverse proxy with TLS in front",
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class PaceForm(Form):
    """WhatsApp bans numbers that send like machines: a pause between two requests, of uneven length."""

    every: Annotated[timedelta, duration(least=timedelta(0), most=timedelta(hours=1))] = Field(
        description="At least this long from one request's start to the next.", examples=["3s"]
    )
    jitter: Annotated[timedelta, duration(least=timedelta(0), most=timedelta(hours=1))] = Field(
        timedelta(0), description="Plus up to this long, by chance. Default: 0s.", examples=["2s"]
    )


class AccountForm(Form):
    """One API key at ConWP, with its budget."""

    base_url: Annotated[str, Read(_read_base_url, {"type": "string", "format": "uri"})] = Field(
        DEFAULT_BASE_URL, description="The address of the API, without `?endpoint=`.", examples=[DEFAULT_BASE_URL]
    )
    api_key: Given[FilledLine] = Field(
        None,
        description="Where the key is: ${NAME} (environment), file:PATH, or credential:NAME (systemd). "
        "The account `default` has ${CONWP_API_KEY}; every other one must say.",
        examples=["${CONWP_API_KEY}", "file:/etc/conwp-bot/key", "credential:conwp-key"],
    )
    limit: LimitText = Field(
        Limit(1000, timedelta(hours=1)),
        description="Requests in any span of this length, however aligned. Default: 1000/hour.",
        examples=["1000/hour"],
    )
    bulk: Annotated[Bulk, choice(Bulk)] = Field(
        Bulk.UNDER_PRESSURE,
        description="When messages share a request: under_pressure (when the backlog would not drain in time), always, or off.",
        examples=["under_pressure", "off"],
    )
    bulk_max: int = Field(
        20, ge=1, le=1000, description="The most messages in one request. Default: 20.", examples=[20]
    )
    concurrency: int = Field(4, ge=1, le=64, description="Requests in flight at once. Default: 4.", examples=[4])
    timeout: Annotated[timedelta, duration(least=_SECOND, most=timedelta(minutes=10))] = Field(
        timedelta(seconds=60),
        description="For a whole request; one without an answer by then is unknown. Default: 60s.",
        examples=["60s"],
    )
    pace: Given[PaceForm] = Field(
        None, description="A pause between requests. Default: none.", examples=[{"every": "3s", "jitter": "2s"}]
    )


class WebForm(Form):
    """Where the daemon listens: webhooks at /hooks/…, health at /healthz."""

    planned = frozenset({"password", "tls", "trusted_proxies"})

    listen: Annotated[tuple[str, int], Read(_read_listen, {"type": "string"})] = Field(
        ("127.0.0.1", 8700),
        description="HOST:PORT on this machine only (loopback). Default: 127.0.0.1:8700.",
        examples=["127.0.0.1:8700", "[::1]:8700"],
    )


class LogForm(Form):
    """How much the daemon writes to its log, and how."""

    level: Annotated[str, word("debug", "info", "warning", "error")] = Field(
        "info", description="The least level that is written. Default: info.", examples=["info"]
    )
    format: Annotated[str, word("auto", "human", "json")] = Field(
        "auto",
        description="human, json, or auto: human on a terminal, JSON elsewhere. Default: auto.",
        examples=["auto"],
    )


class ConfigForm(Form):
    """config.yaml: paths are relative to this file."""

    flows: FilledLine = Field("flows", description="The folder of the flow files. Default: flows.", examples=["flows"])
    data: FilledLine = Field(
        "data",
        description="The folder of the database, archived and rejected files, and the lock. Default: data.",
        examples=["data"],
    )
    timezone: Zone = Field(
        ZoneInfo("Europe/Istanbul"),
        description="The zone of flows that name none. Default: Europe/Istanbul.",
        examples=["Europe/Istanbul"],
    )
    locale: LocaleName = Field(
        "tr_TR",
        description="How dates, numbers and money are written in flows that name none. Default: tr_TR.",
        examples=["tr_TR", "en_GB"],
    )
    contacts: FilledLine = Field(
        "contacts.yaml", description="The file of names and groups. Default: contacts.yaml.", examples=["contacts.yaml"]
    )
    accounts: Given[dict[str, AccountForm]] = Field(
        None,
        description="API keys by name. Default: one account, `default`.",
        examples=[{"default": {"api_key": "${CONWP_API_KEY}"}}],
    )
    web: WebForm = Field(
        WebForm.model_validate({}), description="Where the daemon listens.", examples=[{"listen": "127.0.0.1:8700"}]
    )
    log: LogForm = Field(
        LogForm.model_validate({}), description="What the daemon tells of itself.", examples=[{"level": "info"}]
    )
    retention: Annotated[timedelta, duration(least=timedelta(hours=1), most=timedelta(days=3650))] = Field(
        timedelta(days=30),
        description="How long ended runs and final messages are kept. Default: 30d.",
        examples=["30d"],
    )
