"""Connections: reused, dropped, cancelled, closed, over TLS; and the key, which only its header holds."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import ssl
import subprocess
import traceback

import pytest
from api_wire import (
    KEY,
    Connection,
    Message,
    answering,
    client,
    close_after_body,
    nothing,
    reply,
    sent_to,
    serving,
    then,
)

from conwp_bot.api.client import BODY_CAP
from conwp_bot.model.outcome import Accepted, Failed, Unknown


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
    for script in (then(reply()[:-1]), close_after_body, then(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (BODY_CAP * 2))):
        sent_to(script)
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []
