"""Strict forms: a document against a pydantic model, with every problem at once, at its place, in plain words."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from conwp_bot.documents.document import Document, Path
from conwp_bot.model.problem import Problem, near_miss


class Form(BaseModel):
    """Base of all authored forms: unknown keys are problems, nothing is converted behind the author's back.

    `planned` names keys that the language will have: a word of their own instead of "unknown". Members of a union that is told
    apart by its keys carry a `Tag` in angle brackets, which is dropped from the path of a problem.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)

    planned: ClassVar[frozenset[str]] = frozenset()


MOST_PROBLEMS = 100
"""Of one file: whoever mended as many asks again."""

F = TypeVar("F", bound=Form)
T = TypeVar("T")


class Wrong(PydanticCustomError):
    """Raised by a field's reader: the sentence, and what to do."""

    def __new__(cls, message: str, hint: str | None = None) -> Wrong:
        # pydantic fills {braces} in the template from the context, and our sentences hold braces of their own.
        return super().__new__(cls, "wrong", "{message}", {"message": message, "hint": hint})


def _not_empty(value: Any) -> Any:
    if value is None:
        raise Wrong("nothing is written here", "give it a value, or remove the key")
    return value


Given = Annotated[T | None, BeforeValidator(_not_empty)]
"""An optional key: absent is None, but written without a value is a problem (a lost `when:` must not open a gate)."""


def validate(document: Document, model: type[F]) -> tuple[F | None, list[Problem]]:
    """Return the form, or None and all that is wrong with the document, ordered by place."""
    if not isinstance(document.value, dict):
        what = (
            "the file is empty"
            if document.value is None
            else f"a mapping (key: value) is expected, not {_kind(document.value)}"
        )
        return None, [document.problem((), what)]
    try:
        return model.model_validate(document.value), []
    except ValidationError as error:
        problems = [_translate(each, document, model) for each in error.errors(include_url=False)[:MOST_PROBLEMS]]
        return None, in_order(problems)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems as they stand in their files."""
    return sorted(problems, key=lambda each: (each.file, each.line, each.column, each.path, each.message))


def _translate(error: ErrorDetails, document: Document, model: type[Form]) -> Problem:
    path: Path = tuple(part for part in error["loc"] if not _is_tag(part))
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "wrong":
        return document.problem(path, context["message"], context["hint"])
    if kind == "extra_forbidden":
        word = str(path[-1])[:100]
        form = _form_at(model, error["loc"][:-1])
        return document.problem(path, f'unknown key "{word}"', _unknown_hint(word, form), key=True)
    if kind == "missing":
        return document.problem(path, f'the key "{path[-1]}" is missing')
    return document.problem(path, _sentence(kind, context, value))


def _sentence(kind: str, context: Mapping[str, Any], value: Any) -> str:
    if value is None:
        return "nothing is written here"
    match kind:
        case "string_type":
            return f"expected text, not {_kind(value)}"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"expected a whole number, not {_kind(value)}"
        case "bool_type" | "bool_parsing":
            return f"expected true or false, not {_kind(value)}"
        case "list_type":
            return f"expected a list (- …), not {_kind(value)}"
        case "dict_type" | "model_type" | "model_attributes_type" | "dataclass_type":
            return f"expected a mapping (key: value), not {_kind(value)}"
        case "greater_than_equal":
            return f"must be {context['ge']} or more"
        case "less_than_equal":
            return f"must be {context['le']} or less"
        case "too_short":
            return (
                "at least one is needed"
                if context.get("min_length") == 1
                else f"at least {context['min_length']} are needed"
            )
        case "too_long":
            return f"at most {context['max_length']} are allowed"
        case "recursion_loop":
            return "it contains itself"
        case _:
            return f"this value does not fit ({kind.replace('_', ' ')})"


def _unknown_hint(word: str, form: type[Form] | None) -> str | None:
    if form is None:
        return None
    if word in form.planned:
        return f"{word} is not supported yet"
    known = [field.alias or name for name, field in form.model_fields.items()]
    return near_miss(word, known) or f"known here: {', '.join(known)}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value[:40]}"' if value else "an empty text"
        case list():
            return "a list"
        case _:
            return "a mapping"


kind_of = _kind
"""Name a value's kind for a sentence: `a list`, `the number 5`."""


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _form_at(model: type[Form], loc: tuple[str | int, ...]) -> type[Form] | None:
    """Follow a problem's path through the types to the form it stands in."""
    here: Any = model
    for part in loc:
        here = _step_into(here, part)
        if here is None:
            return None
    bare = _bare(here)
    return bare if isinstance(bare, type) and issubclass(bare, Form) else None


def _step_into(annotation: Any, part: str | int) -> Any:
    if isinstance(part, str) and _is_tag(part):
        return next((each for each in _members(annotation) if part in _tags(each)), None)
    for each in map(_bare, _members(annotation)):
        if isinstance(each, type) and issubclass(each, Form):
            for name, field in each.model_fields.items():
                if (field.alias or name) == part:
                    return field.annotation
        elif get_origin(each) is list and isinstance(part, int):
            return get_args(each)[0]
        elif get_origin(each) is dict and isinstance(part, str):
            return get_args(each)[1]
    return None


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union (below any annotations), or the one type itself."""
    bare = _bare(annotation)
    if get_origin(bare) in (Union, types.UnionType):
        return [each for member in get_args(bare) for each in ([member] if _tags(member) else _members(member))]
    return [annotation]


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _tags(annotation: Any) -> list[str]:
    if get_origin(annotation) is not Annotated:
        return []
    return [each.tag for each in get_args(annotation)[1:] if isinstance(each, Tag)]
