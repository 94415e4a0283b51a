"""The table of transitions: every pair of state and cause is walked."""

from itertools import product

import pytest

from conwp_bot.errors import ImpossibleTransition
from conwp_bot.model.delivery import (
    FINAL,
    TRANSITIONS,
    Cause,
    DeliveryClass,
    OnUnknown,
    State,
    next_state,
    policy_for,
    sources,
)


@pytest.mark.parametrize(("state", "cause"), list(product(State, Cause)))
def test_every_pair_is_either_in_the_table_or_refused(state: State, cause: Cause) -> None:
    if (state, cause) in TRANSITIONS:
        assert next_state(state, cause) is TRANSITIONS[state, cause]
    else:
        with pytest.raises(ImpossibleTransition, match=state.value):
            next_state(state, cause)


def test_nothing_leaves_a_final_state() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] in FINAL]


def test_every_state_but_the_final_ones_can_be_left_and_every_state_can_be_reached() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) - FINAL
    assert set(TRANSITIONS.values()) | {State.PENDING} == set(State)


def test_doubt_never_leads_back_to_pending_by_itself() -> None:
    assert next_state(State.IN_FLIGHT, Cause.DOUBT) is State.UNKNOWN
    assert {
        TRANSITIONS[pair] for pair in TRANSITIONS if pair[0] is State.IN_FLIGHT and pair[1] is not Cause.NOT_SENT
    } == {
        State.ACCEPTED,
        State.FAILED,
        State.UNKNOWN,
    }


def test_only_a_reservation_begins_a_request() -> None:
    assert [cause for (_, cause), target in TRANSITIONS.items() if target is State.IN_FLIGHT] == [Cause.RESERVE]
    assert sources(Cause.RESERVE) == (State.CLAIMED,)


def test_defaults_of_a_class_are_those_of_the_design() -> None:
    alert, normal, campaign = (policy_for(klass) for klass in DeliveryClass)
    assert (alert.expires.total_seconds(), normal.expires.total_seconds()) == (3600, 86400)
    assert (alert.on_unknown, normal.on_unknown, campaign.on_unknown) == (
        OnUnknown.RESEND,
        OnUnknown.HOLD,
        OnUnknown.DROP,
    )
    assert normal.attempts == 8
    assert [klass.rank for klass in DeliveryClass] == [0, 1, 2]
