import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conwp_bot.documents.reader import read_document
from conwp_bot.flows.schema import flow_schema

HERE = Path(__file__).parent
EXAMPLES = sorted(
    file for file in (HERE.parents[1] / "flows").rglob("*.yaml") if not any(part.startswith("_") for part in file.parts)
)
SCHEMA = flow_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

# What a schema cannot know: the meaning of templates, of schedules and numbers, and of one place for another.
BEYOND_SCHEMA = {
    "as-hides-a-name", "as-hides-an-outer-loop", "column-not-declared", "cron-by-chance", "cron-by-hash", "cron-four-fields",
    "cron-long-day-name", "cron-never", "cron-out-of-range", "cron-with-seconds", "delivery-account", "expression-in-braces",
    "expression-not-finished", "file-delimiter-of-json", "file-encoding", "file-folder-wildcard", "file-pattern-goes-up",
    "file-pattern-twice", "file-spreadsheet", "filter-unknown", "locale-unknown", "media-kind-unknown", "media-missing",
    "media-not-an-address", "name-is-a-var", "name-unknown", "recipient-is-no-number", "recipient-without-braces",
    "send-without-text", "set-bad-name", "set-template-in-a-list", "step-id-twice", "step-output-unknown", "template-not-closed",
    "timezone-unknown", "trigger-id-twice", "var-sees-no-run", "var-unknown", "webhook-secret-broken", "webhook-secret-in-clear",
    "webhook-secret-unused", "webhook-twice", "webhook-without-secret",
}  # fmt: skip


def value_of(file: Path) -> tuple[Any, bool]:
    document, problems = read_document(file.read_bytes(), file.name)
    return (document.value if document else None), bool(problems)


def test_it_is_a_schema_that_editors_know() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert '"$ref": "#/$defs' not in json.dumps(SCHEMA)
    assert '"null"' not in json.dumps({**SCHEMA, "definitions": {**SCHEMA["definitions"], "StopForm": {}}})


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_flow_is_valid(file: Path) -> None:
    VALIDATOR.validate(value_of(file)[0])


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("file", sorted((HERE / "bad").glob("*.yaml")), ids=lambda file: file.stem)
def test_wrong_files_are_refused_as_far_as_a_schema_can(file: Path) -> None:
    value, has_problems = value_of(file)
    if not has_problems:  # what is no YAML of ours never gets to a schema
        assert VALIDATOR.is_valid(value) == (file.stem in BEYOND_SCHEMA)


def test_every_key_tells_its_meaning() -> None:
    for name, form in {"FlowForm": SCHEMA, **SCHEMA["definitions"]}.items():
        assert form.get("description"), name
        for key, field in form["properties"].items():
            assert field.get("description"), f"{name}.{key}"
            assert field.get("examples") or _leads_to_a_form(field), f"{name}.{key}"


def _leads_to_a_form(field: dict[str, Any]) -> bool:
    return "$ref" in json.dumps(field)


@pytest.mark.parametrize(
    "value",
    [
        {"steps": [{"send": {"to": 905551234567, "text": "x"}}]},
        {"steps": [{"send": {"to": ["0555", 5], "text": "x"}}]},
        {"triggers": {"cron": "0 9 * * *"}, "steps": [{"log": "x"}]},
        {"steps": [{"stop": None}, {"log": {"text": "x", "level": "debug"}}, {"when": True, "stop": "x"}]},
        {"triggers": [{"webhook": "x", "scheme": "none", "methods": "PUT"}], "steps": [{"log": "x"}]},
    ],
)
def test_every_short_form_is_valid(value: object) -> None:
    VALIDATOR.validate(value)
