"""A `send` step: from its rendered fields to messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from conwp_bot.errors import InvalidRecipient, RenderFailed
from conwp_bot.flows.flow import Flow, Scope, SendStep
from conwp_bot.model.delivery import State
from conwp_bot.model.message import Content, NewMessage
from conwp_bot.model.recipient import parse_recipient
from conwp_bot.model.run import RunHeader

_SEPARATORS = re.compile(r"[,;\n\r]+")
_RECIPIENT_LONGEST = 40
_REASON_MEDIA = "the media's address must begin with http:// or https://"


class Sender:
    """Makes the messages of one run; what each send step has in common is worked out once."""

    def __init__(
        self, flow: Flow, header: RunHeader, region: str, *, now: datetime, new_id: Callable[[], str], longest: int
    ) -> None:
        self._flow = flow
        self._run = header.id
        self._region = region
        self._now = now
        self._new_id = new_id
        self._longest = longest
        self._expires_at = now + flow.delivery.expires

    def messages(self, step: SendStep, scope: Scope) -> list[NewMessage]:
        """Return a message for each recipient, once each, in the order written.

        What is wrong with one recipient, or with the content's size or address, gives a failed message with the reason. Raises
        RenderFailed when a field cannot be rendered, and when the text is empty.
        """
        recipients = self._recipients(step, scope)
        text = step.text.render(scope).strip()
        media = step.media.render(scope).strip() if step.media is not None else None
        if not text and not media:
            raise RenderFailed(f"{step.address}.send.text: the text is empty")
        fault = None
        if len(text) > self._longest:
            fault = f"the text has {len(text):,} characters; a message holds {self._longest:,}"
            text = text[: self._longest]
        if media is not None and not _is_web_address(media):
            fault = fault or _REASON_MEDIA
            media = media[:200]
        content = Content(text, step.kind, media)
        return [self._message(step, recipient, content, reason or fault) for recipient, reason in recipients.items()]

    def _recipients(self, step: SendStep, scope: Scope) -> dict[str, str | None]:
        """Return the recipients in order, each with what is wrong with it."""
        found: dict[str, str | None] = {}
        for template in step.to:
            for part in _SEPARATORS.split(template.render(scope)):
                written = part.strip()
                if not written:
                    continue
                try:
                    found.setdefault(parse_recipient(written, self._region))
                except InvalidRecipient as error:
                    found.setdefault(written[:_RECIPIENT_LONGEST], str(error))
        return found or {"": "no number was given"}

    def _message(self, step: SendStep, recipient: str, content: Content, fault: str | None) -> NewMessage:
        policy = self._flow.delivery
        return NewMessage(
            id=self._new_id(),
            flow=self._flow.id,
            run=self._run,
            step=step.id or step.address,
            account=policy.account,
            recipient=recipient,
            content=content,
            klass=policy.klass,
            on_unknown=policy.on_unknown,
            attempts_allowed=policy.attempts,
            created_at=self._now,
            expires_at=self._expires_at,
            state=State.PENDING if fault is None else State.FAILED,
            reason=fault,
        )


def _is_web_address(text: str) -> bool:
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
