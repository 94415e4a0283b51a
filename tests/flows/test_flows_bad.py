"""One wrong file for each rule; its first line says what must be reported."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from conwp_bot.flows.compile import build_flow
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.model.problem import Severity

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
DEFAULTS = FlowDefaults(ZoneInfo("Europe/Istanbul"), "tr_TR", frozenset({"default", "shop"}))
WARNINGS = {"column-not-declared", "webhook-secret-in-clear"}


def test_there_is_a_file_for_each_rule() -> None:
    assert len(BAD) >= 70


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_wrong_file_is_reported_exactly(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    flow, problems = build_flow("x", text, file.name, DEFAULTS)
    (problem,) = problems
    key = f"{problem.path}: " if problem.path else ""
    said = f"# problem: {problem.line}:{problem.column}: {key}{problem.message}"
    assert said == text.splitlines()[0]
    assert problem.severity is (Severity.WARNING if file.stem in WARNINGS else Severity.ERROR)
    assert (flow is not None) == (problem.severity is Severity.WARNING)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("unknown-key", 'did you mean "triggers"?'),
        ("name-is-a-var", 'did you mean "vars.shop"?'),
        ("name-unknown", 'did you mean "event"?'),
        ("delivery-account", 'did you mean "shop"? (accounts: default, shop)'),
        ("expression-in-braces", "write event.payload.vip"),
        ("cron-by-hash", "use `spread: 5m` beside it: a delay of its own for each flow"),
        ("delivery-not-yet", "quiet_hours is not supported yet"),
        ("step-of-no-kind", 'did you mean "send"?'),
        ("recipient-without-braces", 'a value from the event needs braces: "{{ … }}"'),
    ],
)
def test_a_problem_says_what_to_do(name: str, hint: str) -> None:
    file = Path(__file__).parent / "bad" / f"{name}.yaml"
    _, (problem,) = build_flow("x", file.read_text(encoding="utf-8"), file.name, DEFAULTS)
    assert problem.hint == hint


def test_all_problems_of_a_file_come_at_once_in_its_order() -> None:
    text = """
timezone: Mars
triggers:
  - cron: "99 * * * *"
  - webhook: orders
steps:
  - sned: {}
  - log: x
    wehn: y
delivery: {class: x}
"""
    _, problems = build_flow("x", text, "f.yaml", DEFAULTS)
    assert [problem.line for problem in problems] == [2, 4, 7, 9, 10]


def test_all_problems_of_templates_come_at_once_too() -> None:
    text = """
triggers:
  - webhook: orders
when: "{{ x }}"
vars: {a: "{{ b | nofilter }}"}
steps:
  - send:
      to: ["{{ c }}", 12345]
      text: |
        one
        {{ d }}
    when: e
"""
    _, problems = build_flow("x", text, "f.yaml", DEFAULTS)
    assert [(problem.line, problem.column, problem.path) for problem in problems] == [
        (3, 5, "triggers[0]"),
        (4, 8, "when"),
        (5, 19, "vars.a"),
        (8, 16, "steps[0].send.to[0]"),
        (8, 23, "steps[0].send.to[1]"),
        (11, 12, "steps[0].send.text"),
        (12, 11, "steps[0].when"),
    ]
