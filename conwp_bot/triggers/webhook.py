"""The receiver of webhooks: proves who sends, reads what is sent, stores it, and only then answers."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conwp_bot.clock import Clock
from conwp_bot.errors import RenderFailed, StoreBroken, StoreBusy, StoreClosed
from conwp_bot.flows.flow import Flow, FlowSet, Scheme, WebhookTrigger
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.hook import HookAnswer, HookRequest
from conwp_bot.model.plain import to_json
from conwp_bot.triggers.intake import Intake, KeyScope, Resolve
from conwp_bot.triggers.payload import NotAcceptable, read_payload
from conwp_bot.triggers.verify import keys_of, verify

log = logging.getLogger(__name__)

_LONGEST_KEY = 200
_QUIET_SECONDS = 60.0

# The headers that may name a repeat, with the word that keeps their values apart.
_REPEAT_HEADERS = (("idempotency-key", "idempotency"), ("webhook-id", "webhook"), ("x-github-delivery", "github"))

# A header with one of these in its name may hold a secret: it is neither stored nor seen by templates.
_UNSAFE = (
    "auth",
    "cookie",
    "signature",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "access-key",
    "credential",
)

# What every reason gives: who guesses learns nothing.
_NOT_PROVED = HookAnswer(401, {"error": "the request does not prove who sends it"})
_NOT_READY = HookAnswer(
    503, {"error": "this webhook cannot check its senders now; try again later"}, {"retry-after": "60"}
)
_CLOSING = HookAnswer(503, {"error": "the daemon is stopping; try again"}, {"retry-after": "5"})


@dataclass(frozen=True, slots=True)
class _Hook:
    """A live webhook; `keys` is None while its secret cannot be had."""

    flow: Flow
    trigger: WebhookTrigger
    keys: tuple[bytes, ...] | None


class WebhookReceiver:
    """Answers 202 with the event's id once the event is stored; a repeat is answered with the first event's id."""

    def __init__(self, intake: Intake, clock: Clock, ids: Ids, resolve: Resolve, key_scope: KeyScope) -> None:
        self._intake = intake
        self._clock = clock
        self._ids = ids
        self._resolve = resolve
        self._key_scope = key_scope
        self._hooks: Mapping[str, _Hook] = {}
        self._safe: dict[str, bool] = {}
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def set_flows(self, flow_set: FlowSet) -> None:
        """Listen for this flow set from now on; secrets are read anew."""
        hooks: dict[str, _Hook] = {}
        for flow in flow_set.flows.values():
            for trigger in flow.triggers:
                if not isinstance(trigger, WebhookTrigger):
                    continue
                if trigger.name in hooks:
                    first = hooks[trigger.name].flow.id
                    log.error("flow %s does not get the webhook %s: flow %s has it", flow.id, trigger.name, first)
                    continue
                hooks[trigger.name] = _Hook(flow, trigger, self._keys(flow, trigger))
        self._hooks = hooks
        self._said.clear()

    def knows(self, name: str) -> bool:
        return name in self._hooks

    async def receive(self, request: HookRequest) -> HookAnswer:
        hook = self._hooks.get(request.name)
        if hook is None:
            return HookAnswer(404, {"error": "no flow listens here"})
        trigger = hook.trigger
        if request.method not in trigger.methods:
            return HookAnswer(405, {"error": "use another method"}, {"allow": ", ".join(trigger.methods)})
        if hook.keys is None:
            return _NOT_READY
        now = self._clock.now()
        reason = verify(trigger.scheme, hook.keys, request.headers, request.body, now)
        if reason is not None:
            self._say(trigger.name, reason)
            return _NOT_PROVED
        try:
            payload = read_payload(request.headers.get("content-type"), request.body)
        except NotAcceptable as error:
            self._say(trigger.name, str(error))
            return HookAnswer(error.status, {"error": str(error)})
        data = {"payload": payload, "headers": self._safe_headers(request.headers), "query": dict(request.query)}
        event = Event(self._ids.make("ev", now), hook.flow.id, trigger.id, EventKind.WEBHOOK, now, None, data)
        try:
            key = self._key(hook, event, request.headers)
        except RenderFailed as error:
            self._say(trigger.name, f"key: {error}")
            return HookAnswer(400, {"error": "the payload does not give what this webhook's key needs"})
        if key is not None:
            event = Event(event.id, event.flow, event.trigger, event.kind, now, key, data)
        return await self._store(hook, event)

    async def _store(self, hook: _Hook, event: Event) -> HookAnswer:
        try:
            receipt = await self._intake.accept(hook.flow, event)
        except StoreBusy as error:
            after = str(max(1, math.ceil(error.retry_after)))
            return HookAnswer(503, {"error": "too much at once; try again later"}, {"retry-after": after})
        except StoreClosed:
            return _CLOSING
        except StoreBroken as error:
            log.error("a webhook is not stored: %s", error, extra={"flow": event.flow})
            return HookAnswer(503, {"error": "nothing can be stored now; try again later"}, {"retry-after": "30"})
        except Exception:
            log.exception("a webhook %s is not stored", hook.trigger.name, extra={"flow": event.flow})
            return HookAnswer(500, {"error": "the event is not stored; try again later"})
        if receipt.first:
            return HookAnswer(202, {"event": receipt.event})
        return HookAnswer(202, {"event": receipt.event, "repeated": True})

    def _key(self, hook: _Hook, event: Event, headers: Mapping[str, str]) -> str | None:
        """Return what makes a repeat recognisable. The author's `key` goes before the sender's headers: it says what a repeat is."""
        trigger = hook.trigger
        if trigger.key is not None:
            value = trigger.key.evaluate(self._key_scope(hook.flow, event))
            if value is None:
                return None
            try:
                return _short("key", value if isinstance(value, str) else to_json(value))
            except TypeError as error:
                raise RenderFailed(str(error)) from None
        if trigger.scheme is Scheme.STANDARD:  # the one header of them that is signed
            return _short("webhook", headers["webhook-id"])
        for header, kind in _REPEAT_HEADERS:
            if value := headers.get(header):
                return _short(kind, value)
        return None

    def _keys(self, flow: Flow, trigger: WebhookTrigger) -> tuple[bytes, ...] | None:
        if trigger.scheme is Scheme.NONE:
            return ()
        secret = self._resolve(trigger.secret) if trigger.secret else None
        try:
            if secret is None:
                raise ValueError(f"{trigger.secret or 'its secret'} gives nothing")
            return keys_of(trigger.scheme, secret.reveal())
        except ValueError as error:
            log.error(
                "webhook %s answers 503 until its secret is there: %s", trigger.name, error, extra={"flow": flow.id}
            )
            return None

    def _safe_headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        safe = self._safe
        found = {}
        for name, value in headers.items():
            fine = safe.get(name)
            if fine is None:
                fine = not any(word in name for word in _UNSAFE)
                if len(safe) < 1000:  # names are the sender's: a cache of them has an end
                    safe[name] = fine
            if fine:
                found[name] = value
        return found

    def _say(self, name: str, reason: str) -> None:
        """Log why a request was refused, but not each of a flood of them."""
        now = self._clock.monotonic()
        at, more = self._said.get((name, reason), (-math.inf, 0))
        if now - at < _QUIET_SECONDS:
            self._said[name, reason] = at, more + 1
            return
        if len(self._said) > 1000:
            self._said.clear()
        self._said[name, reason] = now, 0
        also = f" (and {more} more since the last such line)" if more else ""
        log.warning("a request to webhook %s was refused: %s%s", name, reason, also)


def _short(kind: str, value: str) -> str:
    if len(value) > _LONGEST_KEY:
        value = "sha256-" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind}:{value}"
