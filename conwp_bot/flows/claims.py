"""What only one flow may have (a webhook's name, a file pattern): who keeps it when two want it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from conwp_bot.flows.compile import Compiled
from conwp_bot.flows.flow import FileTrigger, Flow, WebhookTrigger
from conwp_bot.model.problem import Problem

Key = tuple[str, str]


def claims_of(flow: Flow) -> list[Key]:
    """Return what a flow claims: `("webhook", NAME)` and `("file", PATTERN)`."""
    keys: list[Key] = []
    for trigger in flow.triggers:
        if isinstance(trigger, WebhookTrigger):
            keys.append(("webhook", trigger.name))
        elif isinstance(trigger, FileTrigger):
            keys.append(("file", posixpath.normpath(trigger.pattern)))
    return keys


def settle_claims(
    compiled: Mapping[str, Compiled], before: Mapping[str, Flow]
) -> tuple[dict[str, Flow], set[str], list[Problem]]:
    """Choose each flow's version: the new one, or its last good one when the new one is broken or wants what is another's.

    Who had a name before keeps it; between newcomers the first id has it. Returns the flows, the ids that are broken, and the
    problems of those that lost.
    """
    chosen: dict[str, Flow] = {}
    broken: set[str] = set()
    for flow_id, each in compiled.items():
        if each.flow is not None:
            chosen[flow_id] = each.flow
        else:
            broken.add(flow_id)
            if flow_id in before:
                chosen[flow_id] = before[flow_id]
    problems: list[Problem] = []
    while lost := _losers(chosen, before):
        for flow_id, keys in lost.items():
            each = compiled[flow_id]
            if chosen[flow_id] is each.flow:
                broken.add(flow_id)
                problems.extend(_problems(each, keys))
            if chosen[flow_id] is each.flow and flow_id in before and before[flow_id] is not each.flow:
                chosen[flow_id] = before[flow_id]
            else:
                del chosen[flow_id]
    return chosen, broken, problems


def _losers(chosen: Mapping[str, Flow], before: Mapping[str, Flow]) -> dict[str, dict[Key, str]]:
    """Return the flows that want what is another's, with the keys and who has each."""
    wanted: dict[Key, list[str]] = {}
    for flow_id, flow in chosen.items():
        if flow.triggers:
            for key in dict.fromkeys(claims_of(flow)):
                wanted.setdefault(key, []).append(flow_id)
    lost: dict[str, dict[Key, str]] = {}
    for key, ids in wanted.items():
        if len(ids) > 1:
            holder = min(
                ids, key=lambda flow_id: (flow_id not in before or key not in claims_of(before[flow_id]), flow_id)
            )
            for flow_id in ids:
                if flow_id != holder:
                    lost.setdefault(flow_id, {})[key] = holder
    return lost


def _problems(compiled: Compiled, keys: Mapping[Key, str]) -> Iterable[Problem]:
    assert compiled.flow is not None
    for claim in compiled.claims:
        holder = keys.get((claim.kind, claim.name))
        if holder is not None:
            message = f'the {claim.kind} "{claim.name}" belongs to the flow {holder} already'
            hint = "choose another name" if claim.kind == "webhook" else "choose another folder or pattern"
            yield Problem(compiled.flow.file, claim.position.line, claim.position.column, claim.path, message, hint)
