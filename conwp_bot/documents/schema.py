"""A form as a JSON Schema that editors' YAML plug-ins accept."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from conwp_bot.documents.form import Form

DIALECT = "http://json-schema.org/draft-07/schema#"  # what yaml-language-server knows best


class _Generator(GenerateJsonSchema):
    """Leaves out defaults that nobody would write so: None (absent is not null) and what is not one word or number."""

    def default_schema(self, schema: Any) -> dict[str, Any]:
        if isinstance(schema.get("default"), str | int | float):
            return super().default_schema(schema)
        return self.generate_inner(schema["schema"])


def editor_schema(model: type[Form], title: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a form: descriptions and examples at each key, no nulls where a key may be absent."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator, ref_template="#/definitions/{model}")
    definitions = {name: _clean(each) for name, each in schema.pop("$defs", {}).items()}
    made = _clean(schema)
    if "$ref" in made:  # a form that holds itself
        made = {**definitions[made["$ref"].rsplit("/", 1)[-1]]}
    return {"$schema": DIALECT, **made, "title": title, "definitions": definitions}


def _clean(node: Any) -> Any:
    if isinstance(node, list):
        return [_clean(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _clean(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if made.get("additionalProperties") is True:
        del made["additionalProperties"]
    options = [each for each in made.get("anyOf", []) if each != {"type": "null"}]
    if len(options) == 1 and "anyOf" in made:
        del made["anyOf"]
        made = {**options[0], **made}
    if "oneOf" in made:  # told apart by their keys; anyOf lets an editor complete the one that is begun
        made["anyOf"] = made.pop("oneOf")
    return made
