"""The receiver: stored before answered, repeats answered with the first event, nothing told to who guesses."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from triggers_kit import RememberedIntake, flow, flow_set

from conwp_bot.errors import RenderFailed, StoreBroken, StoreClosed
from conwp_bot.flows.flow import Flow, Scheme, Scope, WebhookTrigger
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event
from conwp_bot.model.hook import HookAnswer, HookRequest
from conwp_bot.model.secret import Secret
from conwp_bot.testing.clock import MovedClock
from conwp_bot.triggers.webhook import WebhookReceiver

SECRETS = {"${TOKEN}": Secret("s3cret"), "${SIGNING}": Secret("whsec_" + base64.b64encode(b"k" * 24).decode())}
TOKEN = {"authorization": "Bearer s3cret", "content-type": "application/json"}


class Key:
    """A `key` that reads one name of the payload."""

    source = "event.payload.order"

    def evaluate(self, scope: Scope) -> Any:
        try:
            return scope["event"].data["payload"]["order"]
        except (KeyError, TypeError):
            raise RenderFailed("key: 'order' is undefined") from None


def receiver(intake: RememberedIntake, *triggers: WebhookTrigger) -> WebhookReceiver:
    def scope(flow: Flow, event: Event) -> Mapping[str, Any]:
        return {"event": event}

    made = WebhookReceiver(intake, MovedClock(), Ids(), SECRETS.get, scope)
    made.set_flows(flow_set(flow("orders", *triggers)))
    return made


ORDERS = WebhookTrigger("hook", "orders", Scheme.TOKEN, "${TOKEN}")


def post(
    made: WebhookReceiver,
    body: Any = None,
    headers: Mapping[str, str] = TOKEN,
    name: str = "orders",
    method: str = "POST",
) -> HookAnswer:
    raw = b"" if body is None else json.dumps(body).encode()
    return asyncio.run(made.receive(HookRequest(name, method, headers, {"q": "1"}, raw)))


def test_an_event_is_answered_with_its_id_once_it_is_stored() -> None:
    intake = RememberedIntake()
    answer = post(
        receiver(intake, ORDERS), {"order": 7}, TOKEN | {"user-agent": "shop/1", "x-api-key": "k", "cookie": "c"}
    )
    [event] = intake.events
    assert (answer.status, answer.body) == (202, {"event": event.id})
    assert (event.kind, event.flow, event.trigger, event.key) == ("webhook", "orders", "hook", None)
    assert event.data == {
        "payload": {"order": 7},
        "headers": {"content-type": "application/json", "user-agent": "shop/1"},
        "query": {"q": "1"},
    }


def test_nobody_and_no_method_are_told_apart_from_no_proof() -> None:
    intake = RememberedIntake()
    made = receiver(intake, ORDERS)
    assert post(made, name="other").status == 404
    wrong = post(made, method="PUT")
    assert (wrong.status, wrong.headers) == (405, {"allow": "POST"})
    assert made.knows("orders")
    assert not made.knows("other")
    assert intake.events == []


def test_every_refusal_looks_the_same_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    made = receiver(RememberedIntake(), ORDERS)
    answers = [
        post(made, {"a": 1}, headers) for headers in ({}, {"authorization": "Bearer no"}, {"x-webhook-token": ""})
    ]
    assert {(answer.status, str(answer.body)) for answer in answers} == {(401, str(answers[0].body))}
    assert "token is another" in caplog.text
    assert "Bearer no" not in caplog.text


def test_a_flood_of_refusals_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    made = receiver(RememberedIntake(), ORDERS)
    for _ in range(500):
        post(made, headers={})
    assert len(caplog.records) == 1


def test_proof_comes_before_the_body_is_read() -> None:
    made = receiver(RememberedIntake(), ORDERS)
    bad = HookRequest("orders", "POST", {"content-type": "application/json"}, {}, b"{")
    assert asyncio.run(made.receive(bad)).status == 401
    proved = HookRequest("orders", "POST", TOKEN, {}, b"{")
    answer = asyncio.run(made.receive(proved))
    assert answer.status == 400
    assert "no JSON" in answer.body["error"]


@pytest.mark.parametrize("header", ["idempotency-key", "webhook-id", "x-github-delivery"])
def test_a_repeat_is_answered_with_the_first_events_id(header: str) -> None:
    intake = RememberedIntake()
    made = receiver(intake, ORDERS)
    first = post(made, {"n": 1}, TOKEN | {header: "abc"})
    again = post(made, {"n": 1}, TOKEN | {header: "abc"})
    other = post(made, {"n": 1}, TOKEN | {header: "abd"})
    assert again.status == 202
    assert again.body == {"event": first.body["event"], "repeated": True}
    assert other.body["event"] != first.body["event"]
    assert len(intake.events) == 2


def test_the_authors_key_says_what_a_repeat_is_whatever_the_sender_says() -> None:
    intake = RememberedIntake()
    made = receiver(intake, WebhookTrigger("hook", "orders", Scheme.TOKEN, "${TOKEN}", Key()))
    first = post(made, {"order": 7, "try": 1}, TOKEN | {"idempotency-key": "a"})
    again = post(made, {"order": 7, "try": 2}, TOKEN | {"idempotency-key": "b"})
    assert again.body["event"] == first.body["event"]
    assert intake.events[0].key == "key:7"
    assert post(made, {"order": None}).body.keys() == {"event"}
    assert post(made, {"price": 7}).status == 400


def test_a_long_key_is_kept_short() -> None:
    intake = RememberedIntake()
    post(receiver(intake, ORDERS), {"n": 1}, TOKEN | {"idempotency-key": "x" * 5000})
    assert len(intake.events[0].key or "") < 100


def test_a_signed_webhook_is_keyed_by_its_signed_id() -> None:
    intake = RememberedIntake()
    made = receiver(intake, WebhookTrigger("hook", "orders", Scheme.STANDARD, "${SIGNING}"))
    stamp = str(int(MovedClock().now().timestamp()))
    signature = base64.b64encode(hmac.digest(b"k" * 24, f"id-1.{stamp}.".encode() + b"{}", "sha256")).decode()
    headers = {
        "webhook-id": "id-1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
        "idempotency-key": "not signed",
    }
    answer = asyncio.run(made.receive(HookRequest("orders", "POST", headers, {}, b"{}")))
    assert answer.status == 202
    assert intake.events[0].key == "webhook:id-1"
    assert "webhook-signature" not in intake.events[0].data["headers"]


def test_a_busy_store_asks_to_come_again() -> None:
    intake = RememberedIntake()
    intake.busy, intake.retry_after = 1, 2.4
    made = receiver(intake, ORDERS)
    answer = post(made, {"n": 1})
    assert (answer.status, answer.headers) == (503, {"retry-after": "3"})
    assert post(made, {"n": 1}).status == 202


def test_a_store_that_cannot_write_asks_to_come_again() -> None:
    intake = RememberedIntake()
    made = receiver(intake, ORDERS)

    def full(event: Event) -> None:
        raise StoreBroken("database or disk is full")

    intake.on_accept = full
    answer = post(made, {"n": 1})
    assert (answer.status, answer.headers) == (503, {"retry-after": "30"})
    assert "disk" not in str(answer.body)  # what is wrong with us is for the log


def test_what_is_not_stored_is_never_acknowledged() -> None:
    intake = RememberedIntake()
    made = receiver(intake, ORDERS)

    def closed(event: Event) -> None:
        raise StoreClosed("closing")

    def broken(event: Event) -> None:
        raise OSError("disk full")

    intake.on_accept = closed
    assert post(made, {"n": 1}).status == 503
    intake.on_accept = broken
    assert post(made, {"n": 1}).status == 500


def test_a_hook_without_its_secret_answers_503_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    made = receiver(RememberedIntake(), WebhookTrigger("hook", "orders", Scheme.TOKEN, "${GONE}"))
    assert [post(made, headers={"x-webhook-token": ""}).status for _ in range(3)] == [503] * 3
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.ERROR
    assert "${GONE}" in caplog.text


def test_two_flows_cannot_have_one_webhook_the_first_keeps_it(caplog: pytest.LogCaptureFixture) -> None:
    intake = RememberedIntake()
    made = receiver(intake)
    made.set_flows(flow_set(flow("a", ORDERS), flow("b", ORDERS)))
    post(made, {"n": 1})
    assert [event.flow for event in intake.events] == ["a"]
    assert "flow b does not get the webhook orders" in caplog.text
