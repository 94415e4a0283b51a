"""The documented contract, code by code, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sandbox_kit import AHMET, AYSE, Phone, message, with_sandbox

from conwp_bot.sandbox import SandboxOptions


def test_a_message_is_accepted_and_ids_count_up() -> None:
    async def test(phone: Phone) -> None:
        first, second = await phone.send(), await phone.send(message(AHMET, "İyi günler", message_type="text"))
        assert first.json() == {"success": True, "message_id": 1, "status": "sent"}
        assert second.json() == {"success": True, "message_id": 2, "status": "sent"}
        [one, two] = phone.sandbox.receipts
        assert (one.messages[0].receiver, one.messages[0].text) == (AYSE, "Merhaba")
        assert (two.messages[0].receiver, two.messages[0].text, two.messages[0].message_id) == (AHMET, "İyi günler", 2)
        assert two.messages[0].accepted

    with_sandbox(test)


def test_media_and_type_reach_the_receipt() -> None:
    async def test(phone: Phone) -> None:
        await phone.send(message(message_type="image", media_url="https://example.com/image.jpg"))
        [receipt] = phone.sandbox.receipts
        assert (receipt.messages[0].type, receipt.messages[0].media_url) == ("image", "https://example.com/image.jpg")

    with_sandbox(test)


def test_a_bulk_request_answers_with_an_id_per_message() -> None:
    async def test(phone: Phone) -> None:
        await phone.send()
        answer = await phone.bulk(message(AYSE, "Merhaba Ayşe!"), message(AHMET, "Merhaba Ahmet!"))
        assert answer.json() == {"success": True, "message_ids": [2, 3], "total_queued": 2, "sent": 2, "failed": 0}

    with_sandbox(test)


def test_devices_have_the_documented_fields() -> None:
    async def test(phone: Phone) -> None:
        said = (await phone.get("devices")).json()
        assert said["success"] is True
        assert list(said["devices"][0]) == [
            "token",
            "device_name",
            "status",
            "wa_number",
            "wa_name",
            "wa_platform",
            "wa_is_business",
            "last_seen",
        ]
        assert said["devices"][0]["status"] == "active"
        assert said["devices"][0]["last_seen"] == "2026-01-01 09:00:00"

    with_sandbox(test)


def test_status_really_counts() -> None:
    async def test(phone: Phone) -> None:
        await phone.send()
        await phone.bulk(message(), message())
        await phone.send({"receiver": "nobody"})
        await phone.get("nothing")
        said = await phone.status()
        assert said["success"] is True
        assert set(said["user"]) == {"username", "api_key_name"}
        assert set(said["usage"]) == {"message_used", "device_used", "member_used", "storage_used"}
        assert said["usage"]["message_used"] == 3
        stats = said["api_stats"]
        assert (stats["total_requests"], stats["successful_requests"], stats["failed_requests"]) == (4, 2, 2)
        assert stats["avg_execution_time"] == 0
        again = await phone.status()
        assert again["api_stats"]["total_requests"] == 5

    with_sandbox(test)


def test_each_key_is_an_account_of_its_own() -> None:
    async def test(phone: Phone) -> None:
        await phone.send(key="a")
        await phone.send(key="a")
        other = (await phone.get("status", key="b")).json()
        assert other["usage"]["message_used"] == 0
        assert other["api_stats"]["total_requests"] == 0

    with_sandbox(test)


def test_the_key_may_come_by_header_or_by_query() -> None:
    async def test(phone: Phone) -> None:
        url = phone.sandbox.base_url
        by_query = await phone.http.post(url, params={"endpoint": "send-message", "api_key": "q"}, json=message())
        by_header = await phone.send(key="h")
        neither = await phone.send(key="")
        assert [answer.status_code for answer in (by_query, by_header, neither)] == [200, 200, 401]
        assert [receipt.key for receipt in phone.sandbox.receipts] == ["q", "h", ""]

    with_sandbox(test)


def test_an_unknown_key_is_401_and_a_forbidden_one_403() -> None:
    async def test(phone: Phone) -> None:
        codes = [(await phone.send(key=key)).status_code for key in ("good", "unknown", "banned")]
        assert codes == [200, 401, 403]
        assert [receipt.messages[0].accepted for receipt in phone.sandbox.receipts] == [True, False, False]

    with_sandbox(test, SandboxOptions(keys=frozenset({"good"}), forbidden_keys=frozenset({"banned"})))


@pytest.mark.parametrize("endpoint", ["", "send", "SEND-MESSAGE", "../devices"])
def test_an_unknown_endpoint_is_404(endpoint: str) -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.post(endpoint, message())
        assert answer.status_code == 404
        assert answer.json()["success"] is False

    with_sandbox(test)


@pytest.mark.parametrize(
    ("method", "endpoint"),
    [("GET", "send-message"), ("PUT", "send-bulk-message"), ("POST", "devices"), ("DELETE", "status")],
)
def test_a_wrong_method_is_405(method: str, endpoint: str) -> None:
    async def test(phone: Phone) -> None:
        url = phone.sandbox.base_url
        answer = await phone.http.request(method, url, params={"endpoint": endpoint}, headers={"X-API-Key": "k"})
        assert answer.status_code == 405

    with_sandbox(test)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"{}",
        b"[" * 100_000,
        json.dumps({"receiver": AYSE}).encode(),
        json.dumps({"receiver": AYSE, "data": {}}).encode(),
        json.dumps({"receiver": AYSE, "data": {"message": ""}}).encode(),
        json.dumps({"receiver": AYSE, "data": "Merhaba"}).encode(),
        json.dumps({"data": {"message": "Merhaba"}}).encode(),
        json.dumps(message("+905551234567")).encode(),
        json.dumps(message("0555 123 45 67")).encode(),
        json.dumps(message("٩٠٥٥٥")).encode(),
        json.dumps({"receiver": 905551234567, "data": {"message": "Merhaba"}}).encode(),
        json.dumps(message(message_type=3)).encode(),
    ],
)
def test_a_request_that_is_not_valid_is_400(body: bytes) -> None:
    async def test(phone: Phone) -> None:
        url = phone.sandbox.base_url
        answer = await phone.http.post(
            url, params={"endpoint": "send-message"}, content=body, headers={"X-API-Key": "k"}
        )
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("Invalid request: ")
        assert (await phone.status())["usage"]["message_used"] == 0

    with_sandbox(test)


@pytest.mark.parametrize("messages", [None, [], "x", [message(), {"receiver": AHMET}], [message(), 7]])
def test_a_bulk_request_with_one_wrong_message_is_400_as_a_whole(messages: Any) -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.post("send-bulk-message", {"messages": messages})
        assert answer.status_code == 400
        assert not any(message.accepted for message in phone.sandbox.receipts[0].messages)

    with_sandbox(test)


def test_a_bulk_request_may_be_capped() -> None:
    async def test(phone: Phone) -> None:
        assert (await phone.bulk(message(), message(), message())).status_code == 400
        assert (await phone.bulk(message(), message())).status_code == 200

    with_sandbox(test, SandboxOptions(bulk_max=2))


def test_a_large_body_in_many_pieces_is_read_whole() -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.bulk(*(message(text="x" * 1000) for _ in range(1000)))
        assert answer.json()["sent"] == 1000

    with_sandbox(test)


def test_a_body_beyond_all_measure_is_400() -> None:
    async def test(phone: Phone) -> None:
        assert (await phone.send(message(text="x" * (17 * 1024 * 1024)))).status_code == 400

    with_sandbox(test)


def test_half_a_surrogate_in_a_text_breaks_neither_answer_nor_receipt() -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.http.post(
            phone.sandbox.base_url,
            params={"endpoint": "send-message"},
            content=b'{"receiver":"905551234567","data":{"message":"a\\ud800b\\u0000"}}',
            headers={"X-API-Key": "k"},
        )
        assert answer.status_code == 200
        assert phone.sandbox.receipts[0].messages[0].text == "a?b\x00"

    with_sandbox(test)
