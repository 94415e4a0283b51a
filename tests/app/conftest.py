from collections.abc import Iterator

import pytest

from conwp_bot import telemetry


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    yield
    telemetry.restore()
