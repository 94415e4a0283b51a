"""What goes out, and when its first byte goes out, seen from a server of raw bytes."""

from __future__ import annotations

import asyncio
import traceback

import httpcore
import httpx
import pytest
from api_wire import (
    KEY,
    Connection,
    Message,
    answering,
    body_of,
    client,
    headers_of,
    nothing,
    reply,
    sent_to,
    serving,
)

from conwp_bot.api.client import _Call
from conwp_bot.api.outcome import Got, Progress
from conwp_bot.errors import SettingsError
from conwp_bot.model.message import Content
from conwp_bot.model.outcome import Accepted, Failed


def test_a_text_is_sent_exactly_as_documented():
    outcome, server = sent_to(answering(reply()))
    assert outcome == Accepted(("123",))
    request = server.received
    assert request.startswith(b"POST /yonetim/api/index.php?endpoint=send-message HTTP/1.1\r\n")
    assert body_of(request) == {"receiver": "905551234567", "data": {"message": "Merhaba Ayşe!"}}
    headers = headers_of(request)
    assert headers["x-api-key"] == KEY
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert int(headers["content-length"]) == len(request.partition(b"\r\n\r\n")[2])
    assert "transfer-encoding" not in headers
    assert request.count(KEY.encode()) == 1


@pytest.mark.parametrize(
    ("content", "data"),
    [
        (
            Content("bak", "image", "https://x/y.jpg"),
            {"message": "bak", "message_type": "image", "media_url": "https://x/y.jpg"},
        ),
        (
            Content("bak", "text", "https://x/y.jpg"),
            {"message": "bak", "message_type": "text", "media_url": "https://x/y.jpg"},
        ),
        (Content("bak", "audio"), {"message": "bak", "message_type": "audio"}),
        (Content(""), {"message": ""}),
        (Content("yarım \ud83d emoji"), {"message": "yarım ? emoji"}),
    ],
)
def test_type_and_medium_go_out_only_with_what_is_no_plain_text(content, data):
    _, server = sent_to(answering(reply()), Message(content=content))
    assert body_of(server.received) == {"receiver": "905551234567", "data": data}


def test_a_bulk_request_holds_the_messages_in_order():
    async def go():
        answer = reply(b'{"success": true, "message_ids": [1, 2], "total_queued": 2, "sent": 2, "failed": 0}')
        async with serving(answering(answer)) as server, client(server) as api:
            messages = [Message(content=Content(text)) for text in ("bir", "iki")]
            outcome = await api.send_bulk(messages, before_first_byte=nothing)
            with pytest.raises(ValueError, match="needs a message"):
                await api.send_bulk([], before_first_byte=nothing)
            return outcome, server.received

    outcome, request = asyncio.run(go())
    assert outcome == Accepted(("1", "2"))
    assert request.startswith(b"POST /yonetim/api/index.php?endpoint=send-bulk-message HTTP/1.1\r\n")
    assert [one["data"]["message"] for one in body_of(request)["messages"]] == ["bir", "iki"]


def test_devices_and_status_are_asked_by_get_and_reserve_like_any_request():
    async def go():
        reserved = []

        async def before():
            reserved.append(bytes(server.received))

        answer = reply(b'{"success": true, "devices": [], "usage": {"message_used": 3}}')
        async with serving(answering(answer)) as server, client(server) as api:
            devices = await api.devices(before_first_byte=before)
            status = await api.status(before_first_byte=before)
            return devices, status, reserved, server.received

    devices, status, reserved, received = asyncio.run(go())
    assert devices == Got(())
    assert isinstance(status, Got)
    assert status.value.messages_used == 3
    assert reserved[0] == b""
    first, second = received.split(b"GET ")[1:]
    assert first.startswith(b"/yonetim/api/index.php?endpoint=devices HTTP/1.1")
    assert second.startswith(b"/yonetim/api/index.php?endpoint=status HTTP/1.1")
    assert received.count(KEY.encode()) == 2


@pytest.mark.parametrize(
    ("suffix", "target"),
    [
        ("/api?tenant=5", b"/api?tenant=5&endpoint=send-message"),
        ("/api?endpoint=status&a=b%20c", b"/api?a=b%20c&endpoint=send-message"),
        ("", b"/?endpoint=send-message"),
        ("/api?#top", b"/api?endpoint=send-message"),
    ],
)
def test_the_endpoint_joins_the_query_of_the_base_url(suffix, target):
    async def go():
        async with serving(answering(reply())) as server, client(f"http://127.0.0.1:{server.port}{suffix}") as api:
            await api.send_message(Message(), before_first_byte=nothing)
            return server.received

    assert asyncio.run(go()).startswith(b"POST " + target + b" HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("conwp.com/api", "k"),
        ("ftp://conwp.com/api", "k"),
        ("https://", "k"),
        ("https://conwp.com:x/", "k"),
        (f"https://user:{KEY}@conwp.com/", "k"),
        (f"https://conwp.com/?api_key={KEY}", "k"),
        (f"https://conwp.com/?api%5Fkey={KEY}", "k"),
        ("https://conwp.com/", ""),
        ("https://conwp.com/", f"{KEY}\n"),
        ("https://conwp.com/", f" {KEY}"),
        ("https://conwp.com/", f"{KEY}ş"),
    ],
)
def test_a_url_or_key_that_cannot_be_used_is_refused_without_showing_it(url, key):
    with pytest.raises(SettingsError) as refused:
        client(url, key=key)
    assert KEY not in "".join(traceback.format_exception(refused.value)).replace(repr(url), "")
    assert refused.value.hint


def test_no_byte_is_written_before_the_reservation_returns():
    async def go():
        seen = []

        async def before():
            await server.accepted.wait()
            for _ in range(20):  # rounds of this loop, in which the server would have read
                await asyncio.sleep(0)
            seen.append(bytes(server.received))

        async with serving(answering(reply())) as server, client(server) as api:
            outcomes = [await api.send_message(Message(), before_first_byte=before)]
            first = bytes(server.received)
            outcomes.append(await api.send_message(Message(), before_first_byte=before))
            assert len(server.connections) == 1
        return outcomes, seen, first

    outcomes, seen, first = asyncio.run(go())
    assert outcomes == [Accepted(("123",))] * 2
    assert seen == [b"", first]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no budget"),
        TimeoutError("the store is slow"),
        httpx.ReadError("theirs"),
        httpcore.WriteError("one that httpcore would swallow"),
        httpcore.ConnectionNotAvailable("one that httpcore would retry"),
        asyncio.CancelledError("shutdown"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_reservation_that_raises_stops_the_request_with_its_own_error_and_no_byte_written(error):
    async def go():
        calls = []

        async def before():
            calls.append(1)
            raise error

        async def listen(connection: Connection):
            await connection.drain_to_end()

        async with serving(listen) as server, client(server) as api:
            try:
                await api.send_message(Message(), before_first_byte=before)
            except BaseException as raised:
                caught = raised
            [connection] = server.connections
            await asyncio.wait_for(connection.ended.wait(), 5)
            return caught, len(calls), server.received

    caught, calls, received = asyncio.run(go())
    assert caught is error
    assert calls == 1
    assert received == b""


def test_a_refused_reservation_on_a_warm_connection_writes_nothing_and_leaves_the_client_usable():
    async def go():
        async def refuse():
            raise LookupError

        async with serving(answering(reply())) as server, client(server, concurrency=1) as api:
            await api.send_message(Message(), before_first_byte=nothing)
            before = len(server.received)
            with pytest.raises(LookupError):
                await api.send_message(Message(), before_first_byte=refuse)
            await asyncio.wait_for(server.connections[0].ended.wait(), 5)
            assert len(server.received) == before
            return await api.send_message(Message(), before_first_byte=nothing)

    assert asyncio.run(go()) == Accepted(("123",))


def test_the_request_counts_as_written_only_when_the_last_byte_is_handed_over():
    """The last byte goes alone: a server without it has no JSON text that ends, and not the length that it was told."""

    async def go():
        call = _Call(b'{"a": 1}', nothing)
        return [(piece, call.progress) async for piece in call]

    assert asyncio.run(go()) == [(b'{"a": 1', Progress.NOT_BEGUN), (b"}", Progress.WRITTEN)]


def test_the_deadline_stands_still_while_the_reservation_commits_and_nothing_is_written_after_it():
    async def go():
        done = []

        async def before():
            await asyncio.sleep(0.3)
            done.append(1)

        async with serving(answering(reply())) as server, client(server, timeout=0.1) as api:
            outcome = await api.send_message(Message(), before_first_byte=before)
        return outcome, done, server.received

    outcome, done, received = asyncio.run(go())
    assert outcome == Failed("the deadline passed before the first byte", environment=True, began=False)
    assert done == [1]
    assert received == b""
