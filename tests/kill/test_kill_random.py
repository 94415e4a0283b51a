"""kill -9 at random moments: nothing acknowledged is lost, nothing is received twice but what its flow asked to resend."""

import asyncio
from pathlib import Path

import pytest
from kill_kit import kill_loop


def show(seed: int, verdict: object) -> None:
    print(f"seed {seed}: {verdict}")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    verdict = asyncio.run(kill_loop(tmp_path, kills=100, seed=seed))
    show(seed, verdict)
    assert verdict.lost == []
    assert verdict.repeated == []
    assert verdict.told > 100
    # The doubtful are at most the requests in flight at a kill.
    assert verdict.unknown + verdict.resent <= 4 * verdict.kills


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_thousands_of_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    verdict = asyncio.run(kill_loop(tmp_path, kills=250, seed=seed, longest=0.8))
    show(seed, verdict)
    assert verdict.lost == []
    assert verdict.repeated == []
