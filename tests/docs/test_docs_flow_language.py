"""The reference of flows and of the config names every key of the forms, and nothing else; its flows and configs load."""

from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest
import yaml
from docs_kit import Block, blocks, codes, read, rows, section

from conwp_bot.documents.form import Form, validate
from conwp_bot.documents.reader import read_document
from conwp_bot.flows import form as flow_form
from conwp_bot.flows.compile import compile_source
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.model.budget import Limit
from conwp_bot.model.duration import format_duration, parse_duration
from conwp_bot.settings.form import AccountForm, ConfigForm, LogForm, PaceForm, WebForm

FLOW_FORMS: list[tuple[str, tuple[type[Form], ...], tuple[type[Form], ...]]] = [
    # heading, the forms whose keys stand there, the forms whose keys stand elsewhere
    ("The flow", (flow_form.FlowForm,), ()),
    ("Triggers", (flow_form.TriggerForm,), ()),
    ("cron", (flow_form.CronForm,), (flow_form.TriggerForm,)),
    ("webhook", (flow_form.WebhookForm,), (flow_form.TriggerForm,)),
    ("file", (flow_form.FileForm,), (flow_form.TriggerForm,)),
    ("Steps", (flow_form.StepForm,), ()),
    ("send", (flow_form.SendBody,), ()),
    ("for_each", (flow_form.ForEachForm,), (flow_form.StepForm,)),
    ("set", (flow_form.SetForm,), (flow_form.StepForm,)),
    ("if", (flow_form.IfForm,), (flow_form.StepForm,)),
    ("log", (flow_form.LogForm, flow_form.LogBody), (flow_form.StepForm,)),
    ("stop", (flow_form.StopForm,), (flow_form.StepForm,)),
    ("delivery", (flow_form.DeliveryForm,), ()),
]
CONFIG_FORMS: list[tuple[str, tuple[type[Form], ...], tuple[type[Form], ...]]] = [
    ("The whole", (ConfigForm,), ()),
    ("accounts", (AccountForm,), ()),
    ("pace", (PaceForm,), ()),
    ("web", (WebForm,), ()),
    ("log", (LogForm,), ()),
]
DEFAULTS = FlowDefaults(ConfigForm.model_validate({}).timezone, "tr_TR", None)


def keys_of(form: type[Form]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in form.model_fields.items()}


@pytest.mark.parametrize(
    ("page", "heading", "forms", "elsewhere"),
    [("reference/flow.md", *each) for each in FLOW_FORMS] + [("reference/config.md", *each) for each in CONFIG_FORMS],
)
def test_a_table_has_a_row_for_every_key_of_its_form_and_for_nothing_else(
    page: str, heading: str, forms: tuple[type[Form], ...], elsewhere: tuple[type[Form], ...]
) -> None:
    expected = {key for form in forms for key in keys_of(form)} - {key for form in elsewhere for key in keys_of(form)}
    table = [cells for cells in rows(section(read(page), heading)) if len(cells) >= 4]
    assert {codes(cells[0])[0] for cells in table} == expected


@pytest.mark.parametrize(
    ("page", "heading", "forms", "elsewhere"),
    [("reference/flow.md", *each) for each in FLOW_FORMS] + [("reference/config.md", *each) for each in CONFIG_FORMS],
)
def test_a_table_tells_the_defaults_of_the_code(
    page: str, heading: str, forms: tuple[type[Form], ...], elsewhere: tuple[type[Form], ...]
) -> None:
    fields = {key: field for form in forms for key, field in keys_of(form).items()}
    wrong = []
    for cells in rows(section(read(page), heading)):
        field = fields.get(codes(cells[0])[0]) if len(cells) >= 4 else None
        if field is None:
            continue
        told = cells[2]
        if field.is_required():
            # What only one of two forms has stands as required "in the mapping".
            correct = told.startswith("required")
        else:
            default = shown(field.default)
            correct = default is None or default in codes(told) or meant(default, told)
        if not correct:
            wrong.append(f"{cells[0]}: {told}, not {field.default!r}")
    assert wrong == []


def shown(default: Any) -> str | None:
    """Return how a plain default is written; None for what is told in words."""
    match default:
        case StrEnum():
            return default.value
        case timedelta():
            return format_duration(default)
        case Limit() | bool() | int():
            return str(default)
        case str() if default:
            return default
        case (str() as only,):
            return only
        case (str() as host, int() as port):
            return f"{host}:{port}"
        case _:
            return getattr(default, "key", None)  # a zone's name


def meant(default: str, told: str) -> bool:
    """Say whether one of the lengths of time in a cell is this one: `60s` is `1m`."""
    for each in codes(told):
        try:
            if format_duration(parse_duration(each)) == default:
                return True
        except ValueError:
            continue
    return False


def test_what_is_not_there_yet_is_listed() -> None:
    told = set(codes(section(read("reference/flow.md"), "Not yet")))
    forms = [form for _, forms, _ in FLOW_FORMS for form in forms]
    planned = {word for form in forms for word in form.planned}
    planned |= {*flow_form.STEP_KINDS_PLANNED, *flow_form.TRIGGER_KINDS_PLANNED}
    assert told - {"@name"} >= planned - set(keys_of(flow_form.DeliveryForm))


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_flow_and_config_in_the_docs_is_without_problems(block: Block) -> None:
    document, problems = read_document(block.text, str(block))
    assert problems == []
    assert document is not None
    value = document.value
    if isinstance(value, list):
        text = "steps:\n" + block.text
    elif isinstance(value, dict) and value.keys() <= keys_of(flow_form.FlowForm).keys():
        text = block.text if "steps" in value else block.text + "\nsteps: [{log: ok}]\n"
    elif isinstance(value, dict) and value.keys() <= keys_of(ConfigForm).keys():
        assert [str(problem) for problem in validate(document, ConfigForm)[1]] == []
        return
    else:
        # Another program's file, such as alertmanager.yml: it must be YAML at least.
        yaml.safe_load(block.text)
        assert "# another program's" in block.text, f"{block} is neither a flow nor a config"
        return
    made = compile_source("example", text, str(block), DEFAULTS)
    assert [str(problem) for problem in made.problems] == []


def test_every_example_of_a_key_is_without_problems() -> None:
    wrong = []
    for heading, _, _ in FLOW_FORMS:
        for cells in rows(section(read("reference/flow.md"), heading)):
            if len(cells) == 5:
                [example] = codes(cells[4]) if cells[4].count("`") == 2 else [cells[4].strip("`")]
                made = compile_source("example", _whole(heading, example), cells[0], DEFAULTS)
                wrong += [f"{heading} {cells[0]}: {problem}" for problem in made.problems]
    assert wrong == []


def _whole(heading: str, example: str) -> str:
    """Return a flow around the example of one key."""
    key = example.split(":", 1)[0]
    log = "steps: [{log: ok}]\n"
    match heading:
        case "The flow":
            return example + "\n" + ("" if key == "steps" else log)
        case "Triggers":
            return f'triggers:\n- cron: "@daily"\n  {example}\n{log}'
        case "cron" | "webhook" | "file":
            around = {
                "cron": ['cron: "@daily"'],
                "webhook": ["webhook: w", "secret: ${S}"],
                "file": ["file: in/*"],
            }[heading]
            lines = [example, *(line for line in around if line.split(":", 1)[0] != key)]
            return "triggers:\n- " + "\n  ".join(lines) + "\n" + log
        case "delivery":
            return f"delivery: {{{example}}}\n{log}"
        case "Steps":
            return (
                f"vars: {{invoice: {{total: 1}}}}\nsteps:\n- log: ok\n  {example.replace('invoice', 'vars.invoice')}\n"
            )
        case "send":
            around = ["to: 0555 123 45 67", "text: Merhaba"]
            if key == "type":
                around = ["to: 0555 123 45 67", "media: https://example.com/a.jpg"]
            lines = [example, *(line for line in around if line.split(":", 1)[0] != key)]
            return "steps:\n- send:\n    " + "\n    ".join(lines) + "\n"
        case "for_each" | "if":
            around = {
                "for_each": ["for_each: event.rows", "steps: [{log: ok}]"],
                "if": ["if: true", "then: [{log: ok}]"],
            }[heading]
            lines = [example, *(line for line in around if line.split(":", 1)[0] != key)]
            return "steps:\n- " + "\n  ".join(lines) + "\n"
        case _:
            return f"steps:\n- {example}\n"
