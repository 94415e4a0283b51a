"""The sandbox as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sandbox_kit import message

from conwp_bot.sandbox.__main__ import parse_listen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_serves_and_leaves_with_0(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "receipts.jsonl"
    command = [sys.executable, "-m", "conwp_bot.sandbox", "--listen", "127.0.0.1:0", "--limit", "2/hour"]
    command += ["--window", "fixed", "--key", "a", "--key", "b", "--receipts", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("sandbox: http://127.0.0.1:")
            url = first.removeprefix("sandbox: ").strip() + "/yonetim/api/index.php?endpoint=send-message"
            with httpx.Client(trust_env=False) as http:
                codes = [http.post(url, json=message(), headers={"X-API-Key": key}).status_code for key in "aaabx"]
            assert codes == [200, 200, 429, 200, 401]
            process.send_signal(number)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert [json.loads(line)["answer"]["status"] for line in file.read_text().splitlines()] == codes


def test_a_wrong_option_is_told_and_leaves_with_2() -> None:
    command = [sys.executable, "-m", "conwp_bot.sandbox", "--limit", "many"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'many' is no limit" in done.stderr


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), (":8800", ("127.0.0.1", 8800)), ("[::1]:8800", ("::1", 8800))],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["8800", "host", "host:", "host:http", "host:70000"])
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        parse_listen(text)
