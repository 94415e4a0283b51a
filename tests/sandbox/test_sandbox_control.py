"""The control endpoints: what scripts and other tests rely on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sandbox_kit import AYSE, Phone, message, per_hour, with_sandbox

from conwp_bot.errors import ConwpBotError
from conwp_bot.sandbox import Sandbox, SandboxOptions
from conwp_bot.sandbox.receipts import Receipt


async def receipts(phone: Phone, query: str = "") -> list[dict[str, Any]]:
    return (await phone.control(f"receipts{query}", method="GET")).json()


def test_receipts_tell_all_that_was_received_in_order() -> None:
    async def test(phone: Phone) -> None:
        await phone.send(message(text='çığ "quoted" 🙏'))
        await phone.send(message("+1"), key="other")
        accepted, refused = await receipts(phone)
        assert accepted == {
            "n": 1,
            "time": "2026-01-01T09:00:00.000000Z",
            "arrived": "2026-01-01T09:00:00.000000Z",
            "endpoint": "send-message",
            "method": "POST",
            "key": "k",
            "messages": [
                {
                    "receiver": AYSE,
                    "text": 'çığ "quoted" 🙏',
                    "type": "text",
                    "media_url": None,
                    "message_id": 1,
                    "accepted": True,
                }
            ],
            "answer": {
                "status": 200,
                "body": {"success": True, "message_id": 1, "status": "sent"},
                "cut": False,
                "retry_after": None,
            },
            "fault": None,
        }
        assert (refused["n"], refused["key"], refused["answer"]["status"]) == (2, "other", 400)
        assert refused["messages"][0]["accepted"] is False

    with_sandbox(test)


def test_the_values_in_process_are_those_over_http() -> None:
    async def test(phone: Phone) -> None:
        await phone.send()
        [line] = phone.sandbox.receipts.lines()
        [receipt] = phone.sandbox.receipts
        assert receipt == Receipt.read(line) == phone.sandbox.receipts[0]
        assert receipt.time == datetime(2026, 1, 1, 9, tzinfo=UTC)
        assert json.loads(line) == (await receipts(phone))[0]

    with_sandbox(test)


def test_a_poller_asks_for_what_is_new() -> None:
    async def test(phone: Phone) -> None:
        for number in range(5):
            await phone.send(message(text=str(number)))
        assert [receipt["n"] for receipt in await receipts(phone, "?since=3")] == [4, 5]
        assert [receipt["n"] for receipt in await receipts(phone, "?since=1&last=2")] == [4, 5]
        assert await receipts(phone, "?since=5") == []
        assert await receipts(phone, "?since=99") == []
        assert (await phone.control("receipts?since=x", method="GET")).status_code == 400

    with_sandbox(test)


def test_a_poller_may_wait_for_what_is_new() -> None:
    async def test(phone: Phone) -> None:
        waiting = asyncio.ensure_future(receipts(phone, "?since=0&wait=20"))
        while not phone.sandbox.receipts._waiting:
            await asyncio.sleep(0)
        await phone.send()
        assert [receipt["n"] for receipt in await waiting] == [1]
        assert await receipts(phone, "?since=1&wait=0.01") == []

    with_sandbox(test)


def test_only_the_newest_receipts_are_kept_and_the_counters_go_on() -> None:
    async def test(phone: Phone) -> None:
        for _ in range(5):
            await phone.send()
        assert [receipt["n"] for receipt in await receipts(phone)] == [4, 5]
        assert [receipt["n"] for receipt in await receipts(phone, "?since=1")] == [4, 5]
        state = (await phone.control("state", method="GET")).json()
        assert (state["last"], state["counts"]["messages"]) == (5, 5)

    with_sandbox(test, SandboxOptions(keep=2))


def test_each_receipt_is_in_the_file_before_its_answer(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "receipts.jsonl"

    async def test(phone: Phone) -> None:
        for number in (1, 2):
            await phone.send()
            assert [json.loads(line)["n"] for line in file.read_text().splitlines()] == list(range(1, number + 1))
        await phone.control("reset")
        assert file.read_text() == ""

    with_sandbox(test, SandboxOptions(receipts_file=file))


def test_reset_clears_receipts_faults_and_counters_but_not_settings() -> None:
    async def test(phone: Phone) -> None:
        await phone.control("settings", {"limit": "3/hour"})
        for _ in range(4):
            await phone.send()
        await phone.control("faults", [{"kind": "empty"}])
        answer = await phone.control("reset")
        assert (answer.status_code, answer.json()["limit"]) == (200, "3/hour")
        assert await receipts(phone) == []
        assert phone.sandbox.faults() == []
        assert (await phone.send()).json()["message_id"] == 1
        assert (await phone.status())["api_stats"]["total_requests"] == 1

    with_sandbox(test)


def test_reset_may_bring_settings() -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.control("reset", {"limit": "1/hour", "window": "fixed", "retry_after": "seconds"})
        assert (answer.json()["limit"], answer.json()["window"]) == ("1/hour", "fixed")
        assert [(await phone.send()).status_code for _ in range(2)] == [200, 429]

    with_sandbox(test)


def test_settings_change_what_they_name_and_nothing_else() -> None:
    async def test(phone: Phone) -> None:
        assert (await phone.control("settings", {"keys": ["a"], "forbidden_keys": ["b"]})).status_code == 200
        assert [(await phone.send(key=key)).status_code for key in "abc"] == [200, 403, 401]
        await phone.control("settings", {"keys": None, "latency": 0.01})
        assert [(await phone.send(key=key)).status_code for key in "abc"] == [200, 403, 200]
        said = (await phone.control("settings", method="GET")).json()
        assert said == {
            "limit": "1000/hour",
            "window": "rolling",
            "window_offset": 0.0,
            "retry_after": "none",
            "keys": None,
            "forbidden_keys": ["b"],
            "latency": 0.01,
            "bulk_max": None,
            "devices": [{}],
        }

    with_sandbox(test)


def test_devices_may_be_set() -> None:
    async def test(phone: Phone) -> None:
        await phone.control("settings", {"devices": [{"device_name": "Kasa", "status": "disconnected"}, {}]})
        devices = (await phone.get("devices")).json()["devices"]
        assert [(device["device_name"], device["status"]) for device in devices] == [
            ("Kasa", "disconnected"),
            ("Sandbox", "active"),
        ]
        assert (await phone.status())["usage"]["device_used"] == 2

    with_sandbox(test)


@pytest.mark.parametrize(
    ("path", "said", "why"),
    [
        ("settings", {"limit": "many"}, "limit: 'many' is no limit"),
        ("settings", {"limt": "5/hour"}, "limt: "),
        ("settings", {"window": "sliding"}, "window: "),
        ("settings", [], ""),
        ("reset", {"limit": 5}, "limit: "),
        ("faults", [{"kind": "explode"}], "[0].kind: "),
        ("faults", [{"kind": "empty"}, {"kind": "status"}], "[1]: a status fault needs `status`"),
        ("faults", [{"kind": "empty", "tims": 3}], "[0].tims: "),
        ("faults", [{"kind": "empty", "times": 0}], "[0].times: "),
        ("faults", [{"kind": "empty", "endpoint": "send-mesage"}], 'did you mean "send-message"?'),
        ("faults", [{"kind": "empty", "unread": True}], "`unread` goes with cut_before"),
        ("faults", [{"kind": "empty", "retry_after": "1\r\nSet-Cookie: x"}], "[0].retry_after"),
        ("faults", "empty", ""),
    ],
)
def test_a_wrong_control_request_is_refused_with_its_reason_and_changes_nothing(path: str, said: Any, why: str) -> None:
    async def test(phone: Phone) -> None:
        await phone.control("faults", [{"kind": "empty", "times": 7}])
        answer = await phone.control(path, said)
        assert answer.status_code == 400
        assert why in answer.json()["error"]
        assert phone.sandbox.faults()[0]["times"] == 7
        assert phone.sandbox.options == SandboxOptions()

    with_sandbox(test)


def test_control_bodies_that_are_no_json_are_400() -> None:
    async def test(phone: Phone) -> None:
        for path in ("faults", "settings", "reset"):
            answer = await phone.http.post(f"{phone.sandbox.address}/_sandbox/{path}", content=b"{")
            assert answer.status_code == 400

    with_sandbox(test)


def test_faults_are_shown_with_what_is_left_and_can_be_removed() -> None:
    async def test(phone: Phone) -> None:
        await phone.control("faults", {"kind": "status", "status": 500, "times": 3})
        await phone.send()
        shown = (await phone.control("faults", method="GET")).json()
        assert shown == [{"kind": "status", "status": 500, "times": 2, "skip": 0}]
        assert (await phone.control("faults", shown)).json() == shown
        assert (await phone.control("faults", method="DELETE")).json() == []
        assert (await phone.send()).status_code == 200

    with_sandbox(test)


def test_other_sites_pages_do_not_control_the_sandbox() -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.http.post(
            f"{phone.sandbox.address}/_sandbox/reset", headers={"sec-fetch-site": "cross-site"}
        )
        assert answer.status_code == 403

    with_sandbox(test)


def test_events_bring_receipts_as_they_come_and_notice_a_reset() -> None:
    async def test(phone: Phone) -> None:
        await phone.send(message(text="before"))
        url = f"{phone.sandbox.address}/_sandbox/events?since=0"
        async with phone.http.stream("GET", url) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()

            async def event() -> dict[str, Any]:
                async for line in lines:
                    if line.startswith("data: "):
                        return json.loads(line.removeprefix("data: "))
                raise AssertionError("the stream ended")

            first = await event()
            assert [receipt["messages"][0]["text"] for receipt in first["receipts"]] == ["before"]
            await phone.send(message(text="after"))
            second = await event()
            assert [receipt["n"] for receipt in second["receipts"]] == [2]
            assert second["state"]["accounts"][0]["used"] == 2
            await phone.control("reset")
            third = await event()
            assert third["receipts"] == []
            assert third["state"]["epoch"] != second["state"]["epoch"]
            await phone.sandbox.stop()  # ends the stream

    with_sandbox(test)


def test_a_test_waits_for_receipts_and_is_told_what_came_instead() -> None:
    async def test(phone: Phone) -> None:
        found = asyncio.ensure_future(phone.sandbox.wait_for_receipt(lambda receipt: receipt.status == 404))
        await phone.send()
        await phone.get("nothing")
        assert (await found).n == 2
        assert len(await phone.sandbox.wait_for_receipts(2)) == 2
        with pytest.raises(TimeoutError, match="2 came"):
            await phone.sandbox.wait_for_receipts(3, timeout=0.01)
        with pytest.raises(TimeoutError, match="1 of 2"):
            await phone.sandbox.wait_for_messages(2, timeout=0.01)

    with_sandbox(test)


def test_a_sandbox_comes_back_on_its_port_and_goes_on_counting() -> None:
    async def run() -> None:
        sandbox = Sandbox(SandboxOptions(limit=per_hour(2)))
        address = await sandbox.start()
        port = int(address.rpartition(":")[2])

        async def send() -> int:
            async with httpx.AsyncClient(trust_env=False) as http:
                answer = await http.post(
                    sandbox.base_url,
                    params={"endpoint": "send-message"},
                    json=message(),
                    headers={"X-API-Key": "k"},
                )
                return answer.status_code

        assert await send() == 200
        await sandbox.stop()
        with pytest.raises(httpx.ConnectError):
            await send()
        assert await sandbox.start(port=port) == address
        assert [await send(), await send()] == [200, 429]
        await sandbox.stop()
        assert [receipt.n for receipt in sandbox.receipts] == [1, 2, 3]

    asyncio.run(run())


def test_a_taken_port_is_told_with_what_to_do() -> None:
    async def test(phone: Phone) -> None:
        port = int(phone.sandbox.address.rpartition(":")[2])
        with pytest.raises(ConwpBotError, match=r"cannot listen on 127\.0\.0\.1") as raised:
            await Sandbox().start(port=port)
        assert "--listen" in (raised.value.hint or "")

    with_sandbox(test)
