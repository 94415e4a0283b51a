"""Faults on demand: what the client sees, and what the receipts say is true."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from sandbox_kit import AHMET, AYSE, Phone, message, per_hour, with_sandbox

from conwp_bot.sandbox import Receipt, SandboxOptions


async def raw(phone: Phone, sent: bytes) -> bytes:
    """Send bytes on a connection of its own and return all that comes back; a reset ends it too."""
    reader, writer = await asyncio.open_connection(*phone.sandbox.address.removeprefix("http://").split(":"))
    try:
        writer.write(sent)
        return await reader.read()
    finally:
        writer.close()


def request(body: bytes, *, length: int | None = None) -> bytes:
    head = (
        "POST /yonetim/api/index.php?endpoint=send-message HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


BODY = json.dumps(message()).encode()


def last(phone: Phone) -> Receipt:
    return phone.sandbox.receipts[-1]


async def faults(phone: Phone, *rules: dict[str, Any]) -> None:
    answer = await phone.control("faults", list(rules))
    assert answer.status_code == 200, answer.text


def test_cut_before_ends_the_connection_and_accepts_nothing() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_before", "times": 1})
        assert await raw(phone, request(BODY)) == b""
        receipt = last(phone)
        assert (receipt.status, receipt.body, receipt.cut, receipt.fault) == (None, None, True, "cut_before")
        assert receipt.messages[0].receiver == AYSE
        assert not receipt.messages[0].accepted
        assert (await phone.send()).json()["message_id"] == 1

    with_sandbox(test)


def test_cut_after_accepts_and_the_answer_is_lost() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_after", "times": 1})
        with pytest.raises(httpx.RemoteProtocolError):
            await phone.send()
        receipt = last(phone)
        assert (receipt.status, receipt.cut, receipt.messages[0].accepted) == (None, True, True)
        assert receipt.messages[0].message_id == 1
        assert (await phone.send()).json()["message_id"] == 2
        assert (await phone.status())["usage"]["message_used"] == 2

    with_sandbox(test)


def test_a_cut_may_be_a_reset() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_after", "times": 1, "reset": True})
        with pytest.raises(ConnectionResetError):
            await raw(phone, request(BODY))
        assert last(phone).messages[0].accepted

    with_sandbox(test)


def test_a_cut_may_come_before_the_body_is_read() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_before", "unread": True, "times": 1})
        assert await raw(phone, request(b"", length=500_000)) == b""
        receipt = last(phone)
        assert (receipt.cut, receipt.messages, receipt.fault) == (True, (), "cut_before")

    with_sandbox(test)


def test_a_body_that_ends_early_is_received_as_nothing() -> None:
    async def test(phone: Phone) -> None:
        host, port = phone.sandbox.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request(BODY, length=500))
        writer.close()
        await writer.wait_closed()
        receipt = await phone.sandbox.wait_for_receipt(lambda receipt: True)
        assert (receipt.fault, receipt.messages, receipt.cut) == ("body_incomplete", (), True)
        assert (await phone.status())["api_stats"]["total_requests"] == 0

    with_sandbox(test)


def test_cut_mid_answer_gives_half_an_answer_to_an_accepted_message() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_mid_answer", "times": 1})
        got = await raw(phone, request(BODY))
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-length: 47" in head
        assert 0 < len(body) < 47
        assert (last(phone).status, last(phone).body, last(phone).cut) == (200, None, True)
        assert last(phone).messages[0].accepted

    with_sandbox(test)


@pytest.mark.parametrize(
    ("rule", "status", "text", "accepted"),
    [
        ({"kind": "status", "status": 500}, 500, '{"success":false,"error":"Server error"}', False),
        ({"kind": "status", "status": 500, "accept": True, "body": "oops"}, 500, "oops", True),
        ({"kind": "status", "status": 400, "body": {"success": False}}, 400, '{"success":false}', False),
        ({"kind": "html"}, 502, None, False),
        ({"kind": "html", "status": 200, "body": "<p>login</p>"}, 200, "<p>login</p>", False),
        ({"kind": "empty"}, 200, "", True),
        ({"kind": "empty", "accept": False}, 200, "", False),
        ({"kind": "garbage"}, 200, None, True),
        ({"kind": "garbage", "body": "[1, 2"}, 200, "[1, 2", True),
        ({"kind": "success_false"}, 200, '{"success":false,"error":"Message could not be sent"}', False),
        ({"kind": "success_false", "body": {"success": False, "message": "x"}}, 200, None, False),
        ({"kind": "close_after_answer"}, 200, '{"success":true,"message_id":1,"status":"sent"}', True),
        ({"kind": "latency", "seconds": 0.01}, 200, '{"success":true,"message_id":1,"status":"sent"}', True),
        ({"kind": "drip", "seconds": 0.05}, 200, '{"success":true,"message_id":1,"status":"sent"}', True),
    ],
)
def test_a_fault_answers_as_told_and_the_receipt_says_so(
    rule: dict[str, Any], status: int, text: str | None, accepted: bool
) -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {**rule, "times": 1})
        answer = await phone.send()
        assert answer.status_code == status
        if text is not None:
            assert answer.text == text
        receipt = last(phone)
        told = receipt.body if isinstance(receipt.body, str) else json.dumps(receipt.body, separators=(",", ":"))
        assert (receipt.status, told, receipt.cut) == (status, answer.text, False)
        assert receipt.messages[0].accepted is accepted
        assert (await phone.send()).status_code == 200

    with_sandbox(test)


def test_a_proxys_page_is_html() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "html"})
        assert (await phone.send()).headers["content-type"].startswith("text/html")

    with_sandbox(test)


def test_garbage_may_replace_the_whole_answer() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "garbage", "raw": True, "body": "220 smtp ready\r\n"})
        assert await raw(phone, request(BODY)) == b"220 smtp ready\r\n"
        assert last(phone).messages[0].accepted

    with_sandbox(test)


def test_a_429_may_come_with_retry_after() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "status", "status": 429, "retry_after": 30})
        answer = await phone.send()
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
        assert last(phone).retry_after == "30"

    with_sandbox(test)


def test_partial_bulk_accepts_the_last_messages_and_names_only_ids() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "partial_bulk", "failed": 2, "times": 1})
        await phone.send()  # no bulk request: the rule waits
        answer = await phone.bulk(message(text="a"), message(text="b"), message(text="c"))
        assert answer.json() == {"success": True, "message_ids": [2], "total_queued": 3, "sent": 1, "failed": 2}
        assert [message.accepted for message in last(phone).messages] == [False, False, True]

    with_sandbox(test)


def test_a_hang_never_answers_and_goes_when_the_client_goes() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "hang", "times": 1})
        with pytest.raises(httpx.ReadTimeout):
            await phone.http.post(
                phone.sandbox.base_url,
                params={"endpoint": "send-message"},
                json=message(),
                headers={"X-API-Key": "k"},
                timeout=0.2,
            )
        await phone.sandbox.wait_for_receipts(1)
        assert (last(phone).cut, last(phone).messages[0].accepted) == (True, False)

    with_sandbox(test)


def test_a_hang_may_end_in_a_cut_and_may_be_accepted() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "hang", "seconds": 0.05, "accept": True})
        assert await raw(phone, request(BODY)) == b""
        assert last(phone).messages[0].accepted

    with_sandbox(test)


def test_a_sandbox_stops_although_requests_hang() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "hang"})
        hanging = asyncio.ensure_future(raw(phone, request(BODY)))
        await phone.sandbox.wait_for_receipts(1)
        await phone.sandbox.stop()
        assert await hanging == b""

    with_sandbox(test)


def test_a_late_request_is_counted_when_it_is_carried_out_not_when_it_came() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "latency", "seconds": 0.5, "receiver": AHMET})
        late = asyncio.ensure_future(phone.send(message(AHMET)))
        await asyncio.sleep(0)
        await phone.send()
        assert (await late).status_code == 429
        assert [receipt.status for receipt in phone.sandbox.receipts] == [200, 429]

    with_sandbox(test, SandboxOptions(limit=per_hour(1)))


def test_a_client_that_gave_up_waiting_is_sent_for_all_the_same() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "latency", "seconds": 0.3, "times": 1})
        with pytest.raises(httpx.ReadTimeout):
            await phone.http.post(
                phone.sandbox.base_url,
                params={"endpoint": "send-message"},
                json=message(),
                headers={"X-API-Key": "k"},
                timeout=0.05,
            )
        await phone.sandbox.wait_for_messages(1)

    with_sandbox(test)


def test_a_cut_request_counts_against_the_limit() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_before", "times": 2})
        for _ in range(2):
            assert await raw(phone, request(BODY)) == b""
        assert (await phone.send()).status_code == 429

    with_sandbox(test, SandboxOptions(limit=per_hour(2)))


def test_a_refused_request_is_not_accepted_by_cut_after() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "cut_after", "times": 1})
        assert await raw(phone, request(json.dumps(message("+90")).encode())) == b""
        assert not last(phone).messages[0].accepted

    with_sandbox(test)


def test_rules_strike_by_receiver_endpoint_and_key_and_let_pass_what_they_skip() -> None:
    async def test(phone: Phone) -> None:
        await faults(
            phone,
            {"kind": "status", "status": 400, "receiver": AHMET, "skip": 1, "times": 1},
            {"kind": "status", "status": 500, "endpoint": "devices"},
            {"kind": "status", "status": 403, "key": "other"},
        )
        assert [(await phone.send(message(AHMET))).status_code for _ in range(3)] == [200, 400, 200]
        assert (await phone.bulk(message(), message(AHMET))).status_code == 200
        assert (await phone.get("devices")).status_code == 500
        assert (await phone.send(key="other")).status_code == 403
        assert [rule["kind"] for rule in phone.sandbox.faults()] == ["status", "status"]

    with_sandbox(test)


def test_close_after_answer_leaves_a_stale_connection_behind() -> None:
    async def test(phone: Phone) -> None:
        await faults(phone, {"kind": "close_after_answer", "times": 1})
        got = await raw(phone, request(BODY))
        assert b"connection: close" not in got
        assert got.endswith(b'"status":"sent"}')

    with_sandbox(test)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test(phone: Phone) -> None:
        closing = request(BODY).replace(b"Host: x", b"Host: x\r\nConnection: close")
        got = await raw(phone, request(BODY) * 3 + closing)
        assert [got.index(b'"message_id":%d,' % number) for number in (1, 2, 3, 4)] == sorted(
            got.index(b'"message_id":%d,' % number) for number in (1, 2, 3, 4)
        )

    with_sandbox(test)
