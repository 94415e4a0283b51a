"""Hooks and health over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from conwp_bot.errors import SettingsError
from conwp_bot.model.hook import HookAnswer, HookRequest
from conwp_bot.web.answer import ASGIApp, answer_json
from conwp_bot.web.app import make_app
from conwp_bot.web.hooks import LARGEST_BODY, PREFIX, HookEndpoint
from conwp_bot.web.server import LARGEST_HEAD, WebServer, bind_tcp, bind_unix


class Echo:
    """Answers with what it was given, as soon as it may."""

    def __init__(self) -> None:
        self.requests: list[HookRequest] = []
        self.go = asyncio.Event()
        self.go.set()

    def knows(self, name: str) -> bool:
        return name in ("orders", "a/b", "sipariş")

    async def receive(self, request: HookRequest) -> HookAnswer:
        self.requests.append(request)
        await self.go.wait()
        return HookAnswer(202, {"name": request.name, "size": len(request.body)}, {"retry-after": "7"})


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[tuple[WebServer, str, int]]:
    server = WebServer(app, [bind_tcp("127.0.0.1", 0)])
    await server.start()
    host, _, port = server.addresses[0].rpartition(":")
    try:
        yield server, host, int(port)
    finally:
        await server.stop()


async def raw(host: str, port: int, data: bytes, *, then: bytes = b"") -> bytes:
    """Send bytes, and `then` if nothing comes back at once; return all until the other side closes."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        await writer.drain()
        if then:
            writer.write(then)
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_request_reaches_the_receiver_whole() -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(make_app(echo, lambda: "ok")) as (_, host, port), httpx.AsyncClient() as client:
            url = f"http://{host}:{port}{PREFIX}"
            answer = await client.post(
                url + "orders?a=1&a=2&b=%C5%9F&c", content=b"x" * 200_000, headers={"X-Shop": "7"}
            )
            assert (answer.status_code, answer.json()) == (202, {"name": "orders", "size": 200_000})
            assert answer.headers["retry-after"] == "7"
            assert "server" not in answer.headers
            [request] = echo.requests
            assert (request.method, request.query) == ("POST", {"a": "2", "b": "ş", "c": ""})
            assert request.headers["x-shop"] == "7"
            assert (await client.post(url + "a/b")).json()["name"] == "a/b"
            assert (await client.post(url + "sipari%C5%9F")).json()["name"] == "sipariş"
            assert (await client.get(url + "orders")).status_code == 202

            async def parts() -> AsyncIterator[bytes]:
                for _ in range(10):
                    yield b"y" * 1000

            assert (await client.post(url + "orders", content=parts())).json()["size"] == 10_000

    asyncio.run(go())


def test_an_unknown_name_is_answered_before_its_body_is_read() -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(make_app(echo, lambda: "ok")) as (_, host, port):
            head = b"POST /hooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
            answer = await raw(host, port, head)
            assert answer.startswith(b"HTTP/1.1 404")
            assert b"connection: close" in answer
            assert echo.requests == []

    asyncio.run(go())


def test_a_body_over_the_cap_is_refused_by_its_length_and_while_it_streams() -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(make_app(echo, lambda: "ok")) as (_, host, port), httpx.AsyncClient() as client:
            head = b"POST /hooks/orders HTTP/1.1\r\nHost: x\r\n"
            announced = await raw(host, port, head + b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1))
            assert announced.startswith(b"HTTP/1.1 413")
            chunk = b"10000\r\n" + b"z" * 65536 + b"\r\n"
            streamed = await raw(host, port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 16, then=chunk)
            assert streamed.startswith(b"HTTP/1.1 413")
            assert echo.requests == []
            whole = await client.post(f"http://{host}:{port}/hooks/orders", content=b"z" * LARGEST_BODY)
            assert whole.json()["size"] == LARGEST_BODY

    asyncio.run(go())


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def go() -> None:
        echo = Echo()
        endpoint = HookEndpoint(echo, body_seconds=0.05)
        async with serving(endpoint) as (_, host, port):
            answer = await raw(host, port, b"POST /hooks/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            assert answer.startswith(b"HTTP/1.1 408")
            assert echo.requests == []

    asyncio.run(go())


def test_a_head_has_bounds() -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(make_app(echo, lambda: "ok")) as (_, host, port):
            head = b"POST /hooks/orders HTTP/1.1\r\nHost: x\r\n"
            many = await raw(host, port, head + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n")
            assert many.startswith(b"HTTP/1.1 431")
            endless = await raw(host, port, head + b"X-Long: " + b"a" * LARGEST_HEAD, then=b"b" * 1000)
            assert not endless.startswith(b"HTTP/1.1 2")
            assert echo.requests == []

    asyncio.run(go())


def test_health_is_200_only_while_triggers_are_live() -> None:
    async def go() -> None:
        word = "starting"
        async with serving(make_app(Echo(), lambda: word)) as (_, host, port), httpx.AsyncClient() as client:
            url = f"http://{host}:{port}/healthz"
            for word, status in (("starting", 503), ("ok", 200), ("stopping", 503)):
                answer = await client.get(url)
                assert (answer.status_code, answer.json()) == (status, {"status": word})
            assert (await client.post(url)).status_code == 405
            assert (await client.get(f"http://{host}:{port}/")).status_code == 404

    asyncio.run(go())


def test_a_request_under_way_is_finished_at_the_stop() -> None:
    async def go() -> None:
        echo = Echo()
        echo.go.clear()
        server = WebServer(make_app(echo, lambda: "ok"), [bind_tcp("127.0.0.1", 0)])
        await server.start()
        [address] = server.addresses
        async with httpx.AsyncClient() as client:
            posting = asyncio.create_task(client.post(f"http://{address}/hooks/orders", content=b"1"))
            while not echo.requests:
                await asyncio.sleep(0)
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            echo.go.set()
            assert (await posting).status_code == 202
            await stopping
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://{address}/healthz")

    asyncio.run(go())


def test_another_application_may_be_mounted_and_a_socket_path_is_ours_alone(tmp_path: Path) -> None:
    async def control(scope: Any, receive: Any, send: Any) -> None:
        await answer_json(send, 200, {"path": scope["path"], "root": scope["root_path"]})

    async def go() -> None:
        path = tmp_path / "control.sock"
        app = make_app(Echo(), lambda: "ok", {"/control": control})
        for _ in range(2):  # the second finds what the first left
            sock = bind_unix(path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            server = WebServer(app, [sock])
            await server.start()
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as client:
                answer = await client.get("http://daemon/control/flows")
                assert answer.json() == {"path": "/control/flows", "root": "/control"}
                assert (await client.get("http://daemon/controls")).status_code == 404
                with pytest.raises(SettingsError, match="another process listens"):
                    bind_unix(path)
            await server.stop()
            assert not path.exists()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        bind_unix(path).close()

    asyncio.run(go())


def test_a_port_that_is_taken_is_said_with_what_to_do() -> None:
    taken = bind_tcp("127.0.0.1", 0)
    taken.listen()
    port = taken.getsockname()[1]
    with pytest.raises(SettingsError, match=str(port)) as caught:
        bind_tcp("127.0.0.1", port)
    assert "another port" in (caught.value.hint or "")
    taken.close()


def test_what_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text(json.dumps("mine"))
    with pytest.raises(SettingsError, match="in the way"):
        bind_unix(path)
    assert path.exists()
