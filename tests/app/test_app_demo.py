"""`conwp-bot demo`: each kind of trigger shows a message at once, and it runs until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from app_kit import free_port, make_site, spawned, until

CONFIG = "timezone: Europe/Istanbul\nlocale: tr_TR\nweb: {listen: '127.0.0.1:PORT'}\nlog: {level: warning}\n"


def test_the_demo_shows_a_message_of_each_trigger_and_goes_on_until_ctrl_c(tmp_path: Path) -> None:
    site = make_site(tmp_path, {}, CONFIG.replace("PORT", str(free_port())))
    site.environ = {"CONWP_BOT_DEMO_SANDBOX": "0", "PYTHONUNBUFFERED": "1"}

    async def main() -> None:
        with spawned(site, "demo", str(site.root)) as demo:
            begun = time.monotonic()
            await until(lambda: demo.said().count("→") >= 4, 60)
            took = time.monotonic() - begun
            said = demo.said()
            assert "Bu mesajı bir zamanlama gönderdi" in said
            assert "*A-1042* numaralı siparişini aldık" in said
            assert "Ayşe Yılmaz, 31 Aralık vadeli ₺1.234,56" in said
            assert "İsmail Çağlar" in said
            assert "http://127.0.0.1:" in said
            assert "warning" not in said  # no key is needed here, so none is missed
            # A second one beside it is told of the first, and leaves it alone.
            with spawned(site, "demo", str(site.root)) as second:
                assert await second.end() == 78
                assert f"process {demo.popen.pid}" in second.said()
            assert demo.popen.poll() is None
            assert await demo.stop(signal.SIGINT) == 0
            assert "Traceback" not in demo.said()
            print(f"demo: four messages within {took:.1f} s of its start")

    asyncio.run(main())


def test_a_port_that_the_demo_cannot_have_is_told(tmp_path: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        site = make_site(tmp_path, {}, CONFIG.replace("PORT", str(port)))
        site.environ = {"CONWP_BOT_DEMO_SANDBOX": "0"}
        with spawned(site, "demo", str(site.root)) as demo:
            assert demo.popen.wait(30) == 1
            assert f"cannot listen on 127.0.0.1:{port}" in demo.said()
            assert "Traceback" not in demo.said()
