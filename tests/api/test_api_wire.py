"""The client against servers of raw bytes: what goes out, when its first byte goes out, and what each kind of cut means."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import socket
import ssl
import subprocess
import traceback
from datetime import UTC, datetime, timedelta

import httpcore
import httpx
import pytest
from api_wire import KEY, SENT, Connection, Message, answering, body_of, client, headers_of, nothing, reply, serving

from conwp_bot.api.client import BODY_CAP, _Call
from conwp_bot.api.outcome import Got, Progress
from conwp_bot.errors import SettingsError
from conwp_bot.model.message import Content
from conwp_bot.model.outcome import Accepted, Failed, Invalid, Limited, Refused, Unknown

BIG = Message(content=Content("ş" * 8_000_000))


def sent_to(script, message=None, *, timeout=5.0, before=nothing, **options):
    """Send one message to a server with this script; return the outcome and the server."""

    async def go():
        async with serving(script) as server, client(server, timeout=timeout, **options) as api:
            return await api.send_message(message or Message(), before_first_byte=before), server

    return asyncio.run(go())


# What goes out


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


# The first byte and the last


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


# Cuts, from the first point to the last


def test_a_refused_connection_is_proved_not_sent_and_reserves_nothing():
    async def go():
        async def before():
            raise AssertionError("reserved without a connection")

        with socket.socket() as taken:  # bound and not listening: nobody else gets the port
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            async with client(f"http://127.0.0.1:{port}/") as api:
                return await api.send_message(Message(), before_first_byte=before), port

    outcome, port = asyncio.run(go())
    assert outcome == Failed(f"no connection to 127.0.0.1:{port}: Connection refused", environment=True, began=False)


def test_a_name_that_does_not_resolve_is_proved_not_sent():
    async def go():
        async with client("http://conwp.invalid/api") as api:
            return await api.send_message(Message(), before_first_byte=nothing)

    outcome = asyncio.run(go())
    assert isinstance(outcome, Failed)
    assert (outcome.environment, outcome.began) == (True, False)
    assert "conwp.invalid" in outcome.detail


def test_a_connection_cut_in_the_middle_of_the_body_is_proved_not_sent():
    async def script(connection: Connection):
        await connection.head()
        connection.reset()

    outcome, _ = sent_to(script, BIG)
    assert isinstance(outcome, Failed)
    assert (outcome.environment, outcome.began) == (True, True)
    assert outcome.detail.startswith("the body was not completely written")


def test_a_server_that_never_reads_the_body_is_proved_not_sent_at_the_write_deadline():
    async def script(connection: Connection):
        connection.writer.transport.pause_reading()
        await asyncio.Event().wait()

    outcome, _ = sent_to(script, BIG, write_timeout=timedelta(seconds=0.2))
    assert isinstance(outcome, Failed)
    assert (outcome.environment, outcome.began) == (True, True)
    assert "took no data for 200ms" in outcome.detail


def test_a_server_that_never_reads_the_body_is_proved_not_sent_at_the_whole_deadline_too():
    async def script(connection: Connection):
        connection.writer.transport.pause_reading()
        await asyncio.Event().wait()

    outcome, _ = sent_to(script, BIG, timeout=0.3)
    assert isinstance(outcome, Failed)
    assert (outcome.environment, outcome.began) == (True, True)


async def _after_whole_body(connection: Connection):
    await connection.request()
    connection.close()


async def _reset_after_whole_body(connection: Connection):
    await connection.request()
    connection.reset()


def _then(data: bytes, end: str = "close"):
    async def script(connection: Connection):
        await connection.request()
        connection.send(data)
        await connection.writer.drain()
        getattr(connection, end)()

    return script


@pytest.mark.parametrize(
    "script",
    [
        _after_whole_body,
        _reset_after_whole_body,
        _then(b"HTTP/1."),
        _then(b"HTTP/1.1 200"),
        _then(b"HTTP/1.1 200 OK\r\nContent-Le"),
        _then(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        _then(reply()[:-1]),
        _then(reply()[:-20], "reset"),
        _then(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n36\r\n" + SENT + b"\r\n"),
        _then(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        _then(b"HTTP/1.1 100 Continue\r\n\r\n"),
        _then(b"\x15\x03\x03\x00\x02\x02\x28"),
        _then(b"not HTTP at all\r\n\r\n"),
        _then(b"HTTP/9.9 200 OK\r\n\r\n"),
        _then(b"HTTP/1.1 2OO OK\r\n\r\n"),
        _then(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
        _then(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        _then(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        _then(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + SENT),
        _then(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000),
        _then(reply(b"<html><h1>Merhaba</h1></html>")),
        _then(reply(b"", "500 Internal Server Error")),
        _then(reply(SENT, "302 Found", "Location: https://elsewhere/?x=1")),
    ],
)
def test_a_cut_or_garbage_after_the_whole_body_is_unknown(script):
    outcome, server = sent_to(script)
    assert isinstance(outcome, Unknown)
    assert outcome.detail
    assert server.received.endswith(b"}}")
    assert len(server.connections) == 1  # not tried again, and no redirect followed


def test_a_connection_cut_before_the_request_is_read_is_never_called_sent():
    """Whether the small body was taken by the kernel first is a race; neither side of it claims a success."""

    async def script(connection: Connection):
        connection.reset()

    outcome, _ = sent_to(script)
    assert isinstance(outcome, Unknown | Failed)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(b'{"success": false, "message": "x"}', "400 Bad Request"), Invalid("HTTP 400: x")),
        (reply(b"", "401 Unauthorized"), Refused(401, "HTTP 401 without a body")),
        (reply(b"no", "403 Forbidden"), Refused(403, "HTTP 403: no")),
        (reply(b"no", "404 Not Found"), Failed("HTTP 404: no")),
        (reply(b"no", "405 Method Not Allowed"), Failed("HTTP 405: no")),
        (reply(b"no", "429 Too Many Requests"), Limited(None, "HTTP 429: no")),
        (reply(b"no", "500 Oops"), Unknown("HTTP 500: no")),
        (reply(b'{"success": false, "message": "no"}'), Failed("no")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n36\r\n" + SENT + b"\r\n0\r\n\r\n", Accepted(("123",))),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + reply(), Accepted(("123",))),
    ],
)
def test_answers_over_the_wire_are_judged_by_the_table(answer, expected):
    assert sent_to(answering(answer))[0] == expected


def test_an_answer_without_a_length_ends_with_the_connection():
    assert sent_to(_then(b"HTTP/1.0 200 OK\r\n\r\n" + SENT))[0] == Accepted(("123",))


def test_retry_after_counts_from_the_clock_that_the_client_was_given():
    class Still:
        def now(self):
            return datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    answer = reply(b"", "429 Too Many Requests", "Retry-After: 90")
    outcome, _ = sent_to(answering(answer), clock=Still())
    assert outcome == Limited(datetime(2026, 11, 23, 9, 1, 30, tzinfo=UTC), "HTTP 429 without a body")


def test_an_early_refusal_of_a_body_still_being_written_is_heard():
    async def script(connection: Connection):
        await connection.head()
        connection.send(reply(b"blocked", "403 Forbidden", "Connection: close"))
        await connection.writer.drain()
        connection.writer.write_eof()
        await connection.drain_to_end()

    outcome, _ = sent_to(script, BIG)
    assert outcome == Refused(403, "HTTP 403: blocked")


def test_an_answer_over_the_cap_is_unknown_and_is_not_read_to_its_end():
    async def script(connection: Connection):
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * BODY_CAP)
        try:
            while True:
                connection.send(b" " * 65536)
                await connection.writer.drain()
        except ConnectionError:
            connection.ended.set()

    async def go():
        async with serving(script) as server, client(server) as api:
            outcome = await api.send_message(Message(), before_first_byte=nothing)
            await asyncio.wait_for(server.connections[0].ended.wait(), 5)
            return outcome

    outcome = asyncio.run(go())
    assert isinstance(outcome, Unknown)
    assert "longer than 256 KiB" in outcome.detail


def test_an_answer_at_the_cap_is_read():
    assert sent_to(answering(reply(SENT.ljust(BODY_CAP))))[0] == Accepted(("123",))


@pytest.mark.parametrize(
    "dripped", [b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000, reply(SENT.rjust(1000))], ids=["head", "body"]
)
def test_a_server_that_drips_meets_the_deadline_of_the_whole_call(dripped):
    async def script(connection: Connection):
        await connection.request()
        for place in range(len(dripped)):
            connection.send(dripped[place : place + 1])
            await asyncio.sleep(0.01)

    async def go():
        loop = asyncio.get_running_loop()
        async with serving(script) as server, client(server, timeout=0.3) as api:
            began = loop.time()
            outcome = await api.send_message(Message(), before_first_byte=nothing)
            return outcome, loop.time() - began

    outcome, took = asyncio.run(go())
    assert isinstance(outcome, Unknown)
    assert "no complete answer within 300ms" in outcome.detail
    assert 0.25 < took < 2


def test_a_server_that_hangs_after_the_body_is_unknown_at_the_deadline():
    async def script(connection: Connection):
        await connection.request()
        await connection.drain_to_end()

    async def go():
        async with serving(script) as server, client(server, timeout=0.2) as api:
            outcome = await api.send_message(Message(), before_first_byte=nothing)
            await asyncio.wait_for(server.connections[0].ended.wait(), 5)  # closed, not left open
            return outcome

    assert asyncio.run(go()) == Unknown("no complete answer within 200ms")


# Connections


def test_a_connection_is_reused_by_the_next_message():
    async def go():
        async with serving(answering(reply())) as server, client(server) as api:
            outcomes = [await api.send_message(Message(), before_first_byte=nothing) for _ in range(5)]
            return outcomes, len(server.connections)

    assert asyncio.run(go()) == ([Accepted(("123",))] * 5, 1)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_pooled_connection_that_the_server_dropped_is_not_used(end):
    async def script(connection: Connection):
        await connection.request()
        connection.send(reply())
        await connection.writer.drain()
        getattr(connection, end)()

    async def go():
        async with serving(script) as server, client(server, concurrency=1) as api:
            outcomes = []
            for _ in range(5):
                outcomes.append(await api.send_message(Message(), before_first_byte=nothing))
                await server.connections[-1].writer.wait_closed()
            return outcomes, [len(one.received) > 0 for one in server.connections]

    outcomes, used = asyncio.run(go())
    assert outcomes == [Accepted(("123",))] * 5
    assert used == [True] * 5


def test_a_connection_dropped_while_the_request_was_reserved_is_proved_not_sent():
    async def script(connection: Connection):
        await connection.request()
        connection.send(reply())
        await leave.wait()

    async def go():
        nonlocal leave
        leave = asyncio.Event()

        async def before():
            leave.set()
            await server.connections[0].writer.wait_closed()

        async with serving(script) as server, client(server, concurrency=1) as api:
            await api.send_message(Message(), before_first_byte=nothing)
            outcome = await api.send_message(Message(), before_first_byte=before)
            again = await api.send_message(Message(), before_first_byte=nothing)
            return outcome, again, [len(one.received) > 0 for one in server.connections]

    leave: asyncio.Event
    outcome, again, used = asyncio.run(go())
    assert outcome == Failed(
        "the server closed the idle connection before the first byte", environment=True, began=False
    )
    assert again == Accepted(("123",))
    assert used == [True, True]


def test_a_connection_that_idled_longer_than_it_is_trusted_is_not_used(monkeypatch):
    monkeypatch.setattr("conwp_bot.api.client.KEEPALIVE", 0.02)

    async def go():
        async with serving(answering(reply())) as server, client(server, concurrency=1) as api:
            await api.send_message(Message(), before_first_byte=nothing)
            await asyncio.sleep(0.05)
            outcome = await api.send_message(Message(), before_first_byte=nothing)
            return outcome, len(server.connections)

    assert asyncio.run(go()) == (Accepted(("123",)), 2)


def test_no_more_requests_are_in_flight_than_the_account_allows():
    async def go():
        open_now = most = 0

        async def script(connection: Connection):
            nonlocal open_now, most
            while await connection.request():
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(0.005)
                open_now -= 1
                connection.send(reply())

        async with serving(script) as server, client(server, concurrency=3) as api:
            outcomes = await asyncio.gather(
                *(api.send_message(Message(), before_first_byte=nothing) for _ in range(30))
            )
            return outcomes, most, len(server.connections)

    assert asyncio.run(go()) == ([Accepted(("123",))] * 30, 3, 3)


def test_a_call_that_waits_too_long_for_its_turn_is_proved_not_sent():
    async def script(connection: Connection):
        await connection.drain_to_end()

    async def go():
        async with serving(script) as server, client(server, timeout=0.2, concurrency=1) as api:
            sends = (api.send_message(Message(), before_first_byte=nothing) for _ in range(2))
            return *await asyncio.gather(*sends), server.port

    first, second, port = asyncio.run(go())
    assert isinstance(first, Unknown)
    assert second == Failed(f"no free connection to 127.0.0.1:{port} within 200ms", environment=True, began=False)


def test_a_cancelled_call_closes_its_connection_and_gives_its_place_back():
    async def go():
        async def script(connection: Connection):
            await connection.request()
            arrived.set()
            await connection.drain_to_end()

        arrived = asyncio.Event()
        async with serving(script) as server, client(server, concurrency=1) as api:
            for _ in range(3):
                arrived.clear()
                task = asyncio.create_task(api.send_message(Message(), before_first_byte=nothing))
                await arrived.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await asyncio.wait_for(server.connections[-1].ended.wait(), 5)
            return len(server.connections)

    assert asyncio.run(go()) == 3


def test_calls_cancelled_at_any_moment_never_cost_the_client_a_place():
    async def go():
        async with serving(answering(reply())) as server, client(server, concurrency=2) as api:
            for rounds in range(60):
                tasks = [asyncio.create_task(api.send_message(Message(), before_first_byte=nothing)) for _ in range(3)]
                for _ in range(rounds):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return [await api.send_message(Message(), before_first_byte=nothing) for _ in range(3)]

    assert asyncio.run(go()) == [Accepted(("123",))] * 3


def test_closing_the_client_closes_idle_connections_and_ends_its_use():
    async def go():
        async with serving(answering(reply())) as server:
            api = client(server)
            await api.send_message(Message(), before_first_byte=nothing)
            await api.aclose()
            await asyncio.wait_for(server.connections[0].ended.wait(), 5)
            with pytest.raises(RuntimeError, match="closed"):
                await api.send_message(Message(), before_first_byte=nothing)

    asyncio.run(go())


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test")
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ),
            *(
                "-keyout",
                paths[0],
                "-out",
                paths[1],
                "-subj",
                "/CN=127.0.0.1",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(paths[1], paths[0])
    return server, ssl.create_default_context(cafile=paths[1])


def test_over_tls_the_reservation_comes_after_the_handshake_and_before_the_first_byte(certificate):
    async def go():
        seen = []

        async def before():
            await server.accepted.wait()  # the server's side calls it accepted when the handshake is done
            seen.append(bytes(server.received))

        tls, trust = certificate
        async with serving(answering(reply()), tls) as server, client(server.url("https"), ssl_context=trust) as api:
            outcomes = [await api.send_message(Message(), before_first_byte=before) for _ in range(3)]
            return outcomes, seen[0], len(server.connections)

    assert asyncio.run(go()) == ([Accepted(("123",))] * 3, b"", 1)


def test_a_certificate_that_nobody_vouches_for_is_proved_not_sent(certificate):
    async def go():
        async def before():
            raise AssertionError("reserved without a trusted connection")

        async with serving(answering(reply()), certificate[0]) as server, client(server.url("https")) as api:
            return await api.send_message(Message(), before_first_byte=before), server.received

    outcome, received = asyncio.run(go())
    assert isinstance(outcome, Failed)
    assert (outcome.environment, outcome.began) == (True, False)
    assert "certificate verify failed" in outcome.detail.lower()
    assert received == b""


# The key


def test_the_key_is_in_the_header_and_nowhere_else(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    answer = reply(b"bad key " + KEY.encode(), "401 Unauthorized", f"X-Echo: {KEY}", f"Location: /{KEY}")

    async def go():
        async def fail():
            raise RuntimeError("stop")

        async with serving(answering(answer)) as server, client(server) as api:
            shown = [repr(api), str(api), repr(vars(api)["_redact"])]
            shown.append(repr(await api.send_message(Message(), before_first_byte=nothing)))
            shown.append(repr(await api.devices(before_first_byte=nothing)))
            try:
                await api.send_message(Message(), before_first_byte=fail)
            except RuntimeError as error:
                shown += traceback.format_exception(error)
            return shown, server.received

    shown, received = asyncio.run(go())
    out = capfd.readouterr()
    assert received.count(KEY.encode()) == 2
    for text in [*shown, caplog.text, out.out, out.err]:
        assert "Canary" not in text
    assert "***" in "".join(shown)


def test_nothing_is_left_behind_by_cut_answers(recwarn):
    """Half-read generators and sockets would warn when they are collected."""
    for script in (_then(reply()[:-1]), _after_whole_body, _then(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (BODY_CAP * 2))):
        sent_to(script)
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []
