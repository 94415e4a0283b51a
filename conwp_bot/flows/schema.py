"""The flow language as a JSON Schema, for editors: completion, descriptions and red lines while a flow is written."""

from __future__ import annotations

from typing import Any

from conwp_bot.documents.schema import editor_schema
from conwp_bot.flows.form import FlowForm


def flow_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a flow file."""
    return editor_schema(FlowForm, "conwp-bot flow")
