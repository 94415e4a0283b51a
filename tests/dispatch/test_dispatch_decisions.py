"""The pure decisions of dispatch: limit, plan, retry."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conwp_bot.dispatch.limit import admit, usable
from conwp_bot.dispatch.plan import BulkMode, FlowQueue, Room, plan_dispatch
from conwp_bot.dispatch.retry import LONGEST_BACKOFF, account_wait, backoff, verdicts
from conwp_bot.model.budget import Admit, Limit, Usage, Wait
from conwp_bot.model.delivery import Cause, DeliveryClass, OnUnknown, OverLimit
from conwp_bot.model.message import Candidate, Content, Outgoing
from conwp_bot.model.outcome import Accepted, Failed, Invalid, Limited, Refused, Unknown
from conwp_bot.model.recipient import Recipient
from conwp_bot.store.retention import LEDGER_KEPT

NOW = datetime(2026, 5, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def queue(flow: str, count: int, klass: DeliveryClass = DeliveryClass.NORMAL, **rest: object) -> FlowQueue:
    due = tuple(Candidate(f"{flow}-{i:03}", flow, f"9055500{i:05}", NOW) for i in range(count))
    return FlowQueue(flow, klass, due, **rest)  # type: ignore[arg-type]


def outgoing(on_unknown: OnUnknown = OnUnknown.HOLD, **rest: object) -> Outgoing:
    values: dict[str, object] = {
        "id": "msg_1",
        "flow": "f",
        "run": "run_1",
        "account": "default",
        "recipient": Recipient("905551234567"),
        "content": Content("hi"),
        "klass": DeliveryClass.NORMAL,
        "on_unknown": on_unknown,
        "attempts_allowed": 3,
        "tries": 0,
        "faults": 0,
        "resends": 0,
        "expires_at": NOW + HOUR,
        "lease": "me",
    }
    return Outgoing(**{**values, **rest})  # type: ignore[arg-type]


# ---- limit


def test_a_request_is_admitted_only_while_fewer_than_the_limit_are_used() -> None:
    limit = Limit(10, HOUR)
    assert admit(limit, Usage(9), because="budget", now=NOW) == Admit(1)
    assert admit(limit, Usage(10, NOW + timedelta(minutes=3)), because="budget", now=NOW) == Wait(
        NOW + timedelta(minutes=3), "budget"
    )


def test_a_wait_is_always_in_the_future() -> None:
    for frees_at in (None, NOW - HOUR, NOW):
        verdict = admit(Limit(1, HOUR), Usage(5, frees_at), because="budget", now=NOW)
        assert isinstance(verdict, Wait)
        assert verdict.until > NOW


@pytest.mark.parametrize(("count", "left"), [(1, 1), (50, 50), (99, 99), (100, 99), (1000, 990)])
def test_one_in_a_hundred_is_kept_free_of_a_limit_that_is_large_enough(count: int, left: int) -> None:
    assert usable(Limit(count, HOUR)).count == left


# ---- plan


def test_classes_are_served_by_rank_and_flows_in_turn() -> None:
    plan = plan_dispatch(
        [queue("z", 2, DeliveryClass.ALERT), queue("a", 3), queue("b", 1), queue("c", 9, DeliveryClass.CAMPAIGN)],
        Room(7, 100, 0),
        after={},
    )
    assert [batch[0] for batch in plan.batches] == ["z-000", "z-001", "a-000", "b-000", "a-001", "a-002", "c-000"]
    assert plan.more


def test_the_turn_goes_on_behind_the_flow_served_last() -> None:
    plan = plan_dispatch(
        [queue("a", 5), queue("b", 5), queue("c", 5)], Room(2, 9, 0), after={DeliveryClass.NORMAL: "a"}
    )
    assert [batch[0] for batch in plan.batches] == ["b-000", "c-000"]
    assert plan.served == {DeliveryClass.NORMAL: "c"}


def test_an_alert_between_costs_no_flow_its_turn() -> None:
    after: Mapping[DeliveryClass, str] = {}
    served = []
    for turn in range(12):
        alert = [queue("z", 1, DeliveryClass.ALERT)] if turn % 2 else []
        plan = plan_dispatch([queue("a", 3), queue("b", 3), queue("c", 3), *alert], Room(1, 9, 0), after=after)
        after = plan.served
        served.append(plan.batches[0][0].split("-")[0])
    assert Counter(served) == {"z": 6, "a": 2, "b": 2, "c": 2}


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(list(DeliveryClass)), st.none() | st.integers(0, 4)), max_size=6
    ),
    st.integers(0, 8),
    st.integers(0, 8),
    st.sampled_from(list(BulkMode)),
    st.integers(1, 5),
)
def test_a_plan_never_exceeds_room_budget_batch_size_or_a_flows_limit_and_sends_nothing_twice(
    flows: list[tuple[int, DeliveryClass, int | None]], requests: int, budget: int, bulk: BulkMode, bulk_max: int
) -> None:
    queues = [
        queue(f"f{i}", count, klass, allowed=allowed, frees_at=NOW + HOUR)
        for i, (count, klass, allowed) in enumerate(flows)
    ]
    backlog = sum(count for count, _, _ in flows)
    plan = plan_dispatch(queues, Room(requests, budget, backlog, bulk, bulk_max), after={DeliveryClass.NORMAL: "f1"})
    sent = [identity for batch in plan.batches for identity in batch]
    assert len(plan.batches) <= min(requests, budget)
    assert len(sent) == len(set(sent))
    assert all(batch for batch in plan.batches)
    largest = 1 if bulk is BulkMode.OFF else bulk_max
    assert all(len(batch) <= largest for batch in plan.batches)
    per_flow = Counter(identity.split("-")[0] for identity in sent)
    for i, (_, klass, allowed) in enumerate(flows):
        if allowed is not None:
            assert per_flow[f"f{i}"] <= allowed
        if klass is DeliveryClass.ALERT:
            assert all(len(batch) == 1 for batch in plan.batches if batch[0].startswith(f"f{i}-"))
    # Nothing that could go is left while there is room: what remains is over a limit, or there is no room.
    could_go = sum(min(count, count if allowed is None else allowed) for count, _, allowed in flows)
    if len(sent) < could_go:
        assert len(plan.batches) == min(requests, budget)
        assert plan.more


def test_a_recipient_stands_in_a_batch_once_and_a_second_try_goes_alone() -> None:
    twice = tuple(Candidate(f"m{i}", "f", "905551234567", NOW) for i in range(2))
    retried = (Candidate("r", "g", "905550000001", NOW, alone=True), Candidate("s", "g", "905550000002", NOW))
    queues = [FlowQueue("f", DeliveryClass.NORMAL, twice), FlowQueue("g", DeliveryClass.NORMAL, retried)]
    plan = plan_dispatch(queues, Room(9, 9, 4, BulkMode.ALWAYS, 4), after={})
    assert sorted(len(batch) for batch in plan.batches) == [1, 1, 2] or max(len(b) for b in plan.batches) <= 2
    assert ("r",) in plan.batches
    assert not any({"m0", "m1"} <= set(batch) for batch in plan.batches)


def test_under_pressure_messages_share_requests_only_when_the_budget_would_not_do() -> None:
    calm = plan_dispatch([queue("a", 5)], Room(5, 5, 5, BulkMode.UNDER_PRESSURE, 20), after={})
    assert [len(batch) for batch in calm.batches] == [1] * 5
    pressed = plan_dispatch([queue("a", 30)], Room(4, 10, 30, BulkMode.UNDER_PRESSURE, 20), after={})
    assert [len(batch) for batch in pressed.batches] == [3] * 4


def test_what_is_over_a_flows_limit_waits_or_is_dropped_as_the_flow_says() -> None:
    waiting = plan_dispatch([queue("a", 3, allowed=0, frees_at=NOW + HOUR)], Room(9, 9, 0), after={})
    assert (waiting.batches, waiting.flow_waits) == ((), (("a", Wait(NOW + HOUR, "flow limit")),))
    dropping = plan_dispatch(
        [queue("a", 3, allowed=1, frees_at=NOW, over_limit=OverLimit.DROP)], Room(9, 9, 0), after={}
    )
    assert dropping.batches == (("a-000",),)
    assert dropping.drops == (("a-001", "a"), ("a-002", "a"))


# ---- retry


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_to_ten_minutes_and_jitter_takes_at_most_half(count: int, jitter: float) -> None:
    length = backoff(count, jitter)
    assert timedelta(seconds=1) <= length <= LONGEST_BACKOFF
    assert backoff(count, 0) <= backoff(count + 1, 0)


def test_each_outcome_leads_to_its_move() -> None:
    def causes(outcome: object, **rest: object) -> list[Cause]:
        [chain] = verdicts([outgoing(**rest)], outcome, now=NOW, jitter=0)  # type: ignore[arg-type]
        return [verdict.cause for verdict in chain]

    assert causes(Accepted(("1",))) == [Cause.ACCEPT]
    assert causes(Limited(None)) == [Cause.NOT_SENT]
    assert causes(Refused(401)) == [Cause.NOT_SENT]
    assert causes(Invalid("no")) == [Cause.REJECT]
    assert causes(Failed("offline")) == [Cause.NOT_SENT]
    assert causes(Failed("offline"), tries=2) == [Cause.REJECT]
    assert causes(Failed("no route", environment=True), tries=2, faults=99) == [Cause.NOT_SENT]
    assert causes(Unknown("lost")) == [Cause.DOUBT, Cause.HOLD]
    assert causes(Unknown("lost"), on_unknown=OnUnknown.DROP) == [Cause.DOUBT, Cause.DROP]
    assert causes(Unknown("lost"), on_unknown=OnUnknown.RESEND) == [Cause.DOUBT, Cause.RESEND]


def test_a_doubtful_message_is_resent_once_and_then_held() -> None:
    [chain] = verdicts([outgoing(OnUnknown.RESEND, resends=1)], Unknown("lost again"), now=NOW, jitter=0)
    assert [verdict.cause for verdict in chain] == [Cause.DOUBT, Cause.HOLD]


def test_faults_of_the_account_wear_out_no_attempt_of_its_messages() -> None:
    for outcome in (Limited(None), Refused(403), Failed("dns", environment=True)):
        [[verdict]] = verdicts([outgoing()], outcome, now=NOW, jitter=0)
        assert verdict.tries == 0


def test_a_refused_batch_is_split_and_no_message_of_it_is_called_invalid() -> None:
    chains = verdicts([outgoing(), outgoing()], Invalid("bad"), now=NOW, jitter=0)
    assert [(verdict.cause, verdict.not_before) for [verdict] in chains] == [(Cause.NOT_SENT, NOW)] * 2


def test_a_429_is_obeyed_or_freezes_longer_each_time() -> None:
    said = account_wait(Limited(NOW + timedelta(seconds=7)), now=NOW, frozen_before=5)
    assert said is not None
    assert said.until == NOW + timedelta(seconds=7)
    lengths = []
    for frozen_before in range(9):
        wait = account_wait(Limited(None), now=NOW, frozen_before=frozen_before)
        assert wait is not None
        lengths.append((wait.until - NOW).total_seconds())
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_refused_key_parks_the_account_and_nothing_else_does() -> None:
    parked = account_wait(Refused(401, "no such key"), now=NOW, frozen_before=0)
    assert parked is not None
    assert parked.because == "refused"
    for outcome in (Accepted(("1",)), Invalid(), Failed(), Unknown()):
        assert account_wait(outcome, now=NOW, frozen_before=3) is None


def test_a_limit_looks_back_no_further_than_the_ledger_is_kept() -> None:
    assert Limit.parse("9/7d").span < LEDGER_KEPT
    with pytest.raises(ValueError, match="a week"):
        Limit.parse("20000/30d")
