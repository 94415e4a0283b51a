"""The page: strict about what runs in it, and a message stays text."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from sandbox_kit import Phone, message, with_sandbox

CHROMIUM = Path("/usr/bin/chromium")


def test_the_page_allows_no_inline_script_or_style_and_holds_none() -> None:
    async def test(phone: Phone) -> None:
        answer = await phone.http.get(phone.sandbox.address + "/")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", answer.text) == []

    with_sandbox(test)


def test_everything_that_the_page_names_is_served_from_here() -> None:
    async def test(phone: Phone) -> None:
        text = (await phone.http.get(phone.sandbox.address + "/")).text
        script = (await phone.http.get(phone.sandbox.address + "/_sandbox/page.js")).text
        named = set(re.findall(r'(?:src|href)="(/_sandbox/[^"]+\.\w+)"', text))
        named |= {f"/_sandbox/{name}" for name in re.findall(r'from "\./([^"]+)"', script)}
        assert named == {"/_sandbox/icon.svg", "/_sandbox/page.css", "/_sandbox/page.js", "/_sandbox/marks.js"}
        for path in named:
            answer = await phone.http.get(phone.sandbox.address + path)
            assert answer.status_code == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert "innerHTML" not in script

    with_sandbox(test)


def test_an_unknown_path_is_404_and_leaves_no_receipt() -> None:
    async def test(phone: Phone) -> None:
        assert (await phone.http.get(phone.sandbox.address + "/nothing")).status_code == 404
        assert len(phone.sandbox.receipts) == 0

    with_sandbox(test)


async def browse(address: str, profile: Path) -> str:
    """Return the page's DOM as a real browser built it."""
    chromium = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await asyncio.wait_for(chromium.communicate(), 25)
    except TimeoutError:
        chromium.kill()
        await chromium.wait()
        raise
    return out.decode()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here")
def test_a_browser_shows_messages_with_their_marks_and_never_their_html(tmp_path: Path) -> None:
    async def test(phone: Phone) -> None:
        await phone.send(message(text="*Merhaba* _Ayşe_, ~eski~ 2*3*4 a_b_c ```mono *raw*```"))
        await phone.send(message(text='<img src="x" onerror="alert(1)"><b id="evil">HTML</b><script>alert(2)</script>'))
        await phone.send(message("+90", "<i>refused</i>"))
        dom = await browse(phone.sandbox.address + "/?still", tmp_path)
        assert (
            "<strong>Merhaba</strong> <em>Ayşe</em>, <s>eski</s> 2*3*4 a_b_c <code>mono *raw*</code></span>"
            '<span class="foot">'
        ) in dom
        assert '&lt;img src="x" onerror="alert(1)"&gt;&lt;b id="evil"&gt;HTML&lt;/b&gt;' in dom
        assert '<b id="evil">' not in dom
        assert "<script>alert" not in dom
        assert dom.count('class="bubble"') == 2
        assert '<li class="refusal"><div class="refusal-head"><b>400</b>' in dom
        assert '<dd id="count-requests">3</dd>' in dom
        assert "3 / 1,000" in dom

    with_sandbox(test)
