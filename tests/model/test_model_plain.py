"""What goes into the store comes out as it was, whatever a payload looks like."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conwp_bot.model.plain import from_json, to_json

names = st.one_of(st.text(max_size=4), st.sampled_from(["$", "$$", "$date", "$$date", "$decimal", "$map"]))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(alphabet=st.characters(), max_size=5),
    st.sampled_from([date(2026, 1, 2), time(9, 30), Decimal("1.10"), timedelta(minutes=5), "\ud800"]),
    st.just(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2))


@given(values)
def test_every_value_survives_the_store(value: Any) -> None:
    text = to_json(value)
    text.encode()
    assert from_json(text) == value


def test_a_payload_that_looks_like_a_date_stays_a_mapping() -> None:
    for payload in ({"$date": "2026-01-01"}, {"$$date": "2026-01-01"}, {"a": [{"$decimal": "1"}]}):
        assert from_json(to_json(payload)) == payload
