"""Cut at each point, and answered with each kind of answer, by a server of raw bytes."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import pytest
from api_wire import (
    BIG,
    SENT,
    Connection,
    Message,
    answering,
    client,
    close_after_body,
    nothing,
    reply,
    reset_after_body,
    sent_to,
    serving,
    then,
)

from conwp_bot.api.client import BODY_CAP
from conwp_bot.model.outcome import Accepted, Failed, Invalid, Limited, Refused, Unknown


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


@pytest.mark.parametrize(
    "script",
    [
        close_after_body,
        reset_after_body,
        then(b"HTTP/1."),
        then(b"HTTP/1.1 200"),
        then(b"HTTP/1.1 200 OK\r\nContent-Le"),
        then(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        then(reply()[:-1]),
        then(reply()[:-20], "reset"),
        then(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n36\r\n" + SENT + b"\r\n"),
        then(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        then(b"HTTP/1.1 100 Continue\r\n\r\n"),
        then(b"\x15\x03\x03\x00\x02\x02\x28"),
        then(b"not HTTP at all\r\n\r\n"),
        then(b"HTTP/9.9 200 OK\r\n\r\n"),
        then(b"HTTP/1.1 2OO OK\r\n\r\n"),
        then(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
        then(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        then(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        then(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + SENT),
        then(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000),
        then(reply(b"<html><h1>Merhaba</h1></html>")),
        then(reply(b"", "500 Internal Server Error")),
        then(reply(SENT, "302 Found", "Location: https://elsewhere/?x=1")),
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
    assert sent_to(then(b"HTTP/1.0 200 OK\r\n\r\n" + SENT))[0] == Accepted(("123",))


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
