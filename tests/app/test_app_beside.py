"""The real daemon and a sandbox one of the same config share their drop folders, so they do not run beside each other."""

import asyncio
from pathlib import Path

import pytest
from app_kit import make_site, running

from conwp_bot.errors import AlreadyRunning


@pytest.mark.parametrize("first_in_sandbox", [True, False])
def test_a_daemon_does_not_start_beside_the_other_kind(tmp_path: Path, first_in_sandbox: bool) -> None:
    site = make_site(tmp_path / "shop")

    async def main() -> None:
        async with running(site, sandbox=first_in_sandbox):
            with pytest.raises(AlreadyRunning):
                async with running(site, sandbox=not first_in_sandbox):
                    pass

    asyncio.run(main())
