"""The other pages: templates and their results, states drawn from the code, the sandbox's words, links, dependencies."""

import importlib.util
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from docs_kit import DOCS, ROOT, Block, blocks, codes, pages, prose, read, rows, section

from conwp_bot.flows.compile import compile_source
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import SendStep
from conwp_bot.flows.render import RenderContext, compile_text, make_scope
from conwp_bot.flows.render.environment import FILTERS
from conwp_bot.flows.render.functions import FUNCTIONS
from conwp_bot.flows.render.tests import TESTS
from conwp_bot.model.delivery import Cause, State
from conwp_bot.model.run import RunState
from conwp_bot.sandbox.faults import Fault, FaultKind
from conwp_bot.sandbox.options import SettingsForm
from conwp_bot.sandbox.receipts import Receipt, ReceivedMessage

TEMPLATES = read("reference/templates.md")
ISTANBUL = ZoneInfo("Europe/Istanbul")
CONTEXT = RenderContext("tr_TR", ISTANBUL, datetime(2026, 11, 23, 9, 0, tzinfo=ISTANBUL))
LISTS = {
    "Filters for texts and single values": FILTERS,
    "Filters for lists and mappings": FILTERS,
    "Filters for dates, money, numbers and phones": FILTERS,
    "Functions": FUNCTIONS,
    "Tests": TESTS,
}


def listed(*headings: str) -> list[list[str]]:
    return [cells for heading in headings for cells in rows(section(TEMPLATES, heading))]


def scope() -> Mapping[str, Any]:
    [block] = [block for block in blocks("json") if block.page.name == "templates.md"]
    return make_scope({"event": {"payload": json.loads(block.text)}}, CONTEXT)


def test_every_filter_function_and_test_stands_on_its_page_and_nothing_else() -> None:
    filters = [heading for heading, known in LISTS.items() if known is FILTERS]
    assert {name for cells in listed(*filters) for name in codes(cells[0])} == set(FILTERS)
    assert {name for cells in listed("Functions") for name in codes(cells[0])} == set(FUNCTIONS)
    assert {name for cells in listed("Tests") for name in codes(cells[0])} == set(TESTS)


@pytest.mark.parametrize(("example", "result"), [(cells[2], cells[3]) for cells in listed(*LISTS)])
def test_an_example_gives_the_result_that_stands_beside_it(example: str, result: str) -> None:
    made = compile_text("{{ " + example.strip("`") + " }}", field="docs").render(scope())
    assert made == result.strip("`")


def test_states_are_drawn_from_the_table_of_transitions() -> None:
    page = read("reference/states.md")
    assert page == _drawer().redrawn(page), "run `python docs/states.py`"


def _drawer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_states", DOCS / "states.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_state_and_cause_is_explained() -> None:
    page = read("reference/states.md")
    explained = {code for cells in rows(page) if len(cells) == 2 for code in codes(cells[0])}
    assert explained == {state.value for state in State} | {cause.value for cause in Cause} | {
        state.value for state in RunState
    }


def test_the_sandbox_page_names_every_fault_and_setting() -> None:
    page = read("reference/sandbox.md")
    faults = list(rows(section(page, "Faults")))
    assert {codes(cells[0])[0] for cells in faults} == set(Fault.model_fields) | {kind.value for kind in FaultKind}
    assert {codes(cells[0])[0] for cells in rows(section(page, "Settings"))} == set(SettingsForm.model_fields)


def test_the_receipt_on_the_sandbox_page_has_the_fields_of_one() -> None:
    [block] = [block for block in blocks("json") if block.page.name == "sandbox.md"]
    said = json.loads(block.text)
    assert Receipt.read(block.text.encode()).n == 1
    assert said.keys() | said["answer"].keys() == {field.name for field in fields(Receipt)} | {"answer"}
    assert said["messages"][0].keys() == {field.name for field in fields(ReceivedMessage)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Any) -> None:
    broken = []
    text = prose(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached() -> None:
    linked = set()
    for page in pages():
        for target in re.findall(r"\]\(([^)\s#]+)", prose(page.read_text(encoding="utf-8"))):
            if not target.startswith("http"):
                linked.add((page.parent / target).resolve())
    assert [str(page) for page in pages() if page.is_relative_to(DOCS) and page.resolve() not in linked] == []


def test_each_dependency_is_defended_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = read("decisions/dependencies.md")

    def names(wanted: list[str]) -> set[str]:
        return {re.split(r"[<>=!~\[; ]", each, maxsplit=1)[0].lower() for each in wanted}

    def told(heading: str) -> set[str]:
        return {codes(cells[0])[0].lower() for cells in rows(section(page, heading))}

    assert told("At run time") == names(project["dependencies"])
    extras = {extra: wanted for extra, wanted in project["optional-dependencies"].items() if extra != "dev"}
    assert told("Extras") == names([each for wanted in extras.values() for each in wanted])
    assert told("For development") == names(project["optional-dependencies"]["dev"])


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_every_json_in_the_docs_is_json(block: Block) -> None:
    json.loads(block.text)


def test_the_flow_on_the_first_screen_makes_the_message_below_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    source = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    quoted = "\n".join(line[2:] for line in text.splitlines() if line.startswith("> "))
    made = compile_source("readme", source, "README.md", FlowDefaults(ISTANBUL, "tr_TR"))
    assert made.flow is not None
    [step] = [step for steps in made.flow.blocks.values() for step in steps if isinstance(step, SendStep)]
    invoice = {"phone": "905321234567", "name": "Ayşe Ilgaz", "due": date(2026, 11, 24), "total": Decimal("1234.5")}
    seen = make_scope({"invoice": invoice}, CONTEXT)
    assert step.when is not None
    assert step.when.holds(seen)
    assert step.text.render(seen).strip() == quoted


def test_nothing_on_a_page_is_of_the_machine_it_was_written_on() -> None:
    for page in pages():
        assert not re.search(r"/(?:work|root)/|/home/[a-z]", page.read_text(encoding="utf-8")), page
