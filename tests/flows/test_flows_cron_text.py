import pytest
from hypothesis import given
from hypothesis import strategies as st

from conwp_bot.flows.cron_text import NoSchedule, read_cron


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("0 9 * * mon-fri", "0 9 * * mon-fri"),
        ("  */15   8-18 * *  1-5 ", "*/15 8-18 * * 1-5"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 9 L * *", "0 9 L * *"),
        ("0 9 * mar thu", "0 9 * mar thu"),
        ("@daily", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
    ],
)
def test_a_schedule_is_five_fields(text: str, schedule: str) -> None:
    assert read_cron(text) == schedule


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "0 0 9 * * * 2026", "60 * * * *", "* 24 * * *", "0 0 30 2 *", "0 0 31 4,6 *", "*/0 * * * *", "R * * * *",
     "R(1-5) * * * *", "h * * * *", "H/5 * * * *", "@reboot", "TZ=UTC 0 9 * *", "0 9 * * monday", "a b c d e", "é * * * *"],
)  # fmt: skip
def test_everything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(NoSchedule) as error:
        read_cron(text)
    assert str(error.value)


@given(st.text("0123456789*/,-LWRH#?@ monfri", max_size=25))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        assert len(read_cron(text).split()) == 5
    except NoSchedule:
        pass
