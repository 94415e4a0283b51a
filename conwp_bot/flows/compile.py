"""From the authored form of a flow to the built one: every template compiled, every default filled in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from conwp_bot.documents.document import Document
from conwp_bot.documents.form import in_order, validate
from conwp_bot.documents.reader import read_document
from conwp_bot.flows.compile_fields import EVENT_NAMES, RUN_NAMES, Fields
from conwp_bot.flows.compile_steps import Steps
from conwp_bot.flows.compile_triggers import Claim, compile_triggers
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import Flow
from conwp_bot.flows.form import DeliveryForm, FlowForm
from conwp_bot.flows.region import region_of_locale
from conwp_bot.model.delivery import DEFAULT_ACCOUNT, DeliveryPolicy, policy_for
from conwp_bot.model.problem import Problem, Severity, near_miss


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one file came to: the flow unless it has an error, its problems, and what it claims among all flows."""

    flow: Flow | None
    problems: tuple[Problem, ...]
    claims: tuple[Claim, ...] = ()


def build_flow(id: str, text: str, file: str, defaults: FlowDefaults) -> tuple[Flow | None, list[Problem]]:  # noqa: A002
    """Build one flow from its text (also an old version from the store); None when any of its problems is an error."""
    made = compile_source(id, text, file, defaults)
    return made.flow, list(made.problems)


def compile_source(flow_id: str, source: bytes | str, file: str, defaults: FlowDefaults) -> Compiled:
    """Do the same for a file's bytes, and keep what the flow claims."""
    document, problems = read_document(source, file)
    if document is None:
        return Compiled(None, tuple(problems))
    form, more = validate(document, FlowForm)
    # What the reader found wrong at a place is the better explanation of why the form does not like it.
    seen = {(problem.line, problem.column) for problem in problems}
    problems += [problem for problem in more if (problem.line, problem.column) not in seen]
    if form is None:
        return Compiled(None, tuple(in_order(problems)))
    flow, claims, more = _compile(flow_id, document, form, defaults)
    problems = in_order(problems + more)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return Compiled(None, tuple(problems))
    return Compiled(flow, tuple(problems), claims)


def flow_hash(text: str, defaults: FlowDefaults) -> str:
    """Return the version of a flow: its text, and what it takes from the config."""
    return hashlib.sha256("\0".join((text, str(defaults.timezone), defaults.locale)).encode()).hexdigest()


def _compile(
    flow_id: str, document: Document, form: FlowForm, defaults: FlowDefaults
) -> tuple[Flow, tuple[Claim, ...], list[Problem]]:
    fields = Fields(document)
    zone = form.timezone or defaults.timezone
    locale = form.locale or defaults.locale
    steps = Steps(fields, region_of_locale(locale))
    steps.learn_names(form)
    triggers, claims = compile_triggers(form.triggers, fields, zone)
    flow = Flow(
        id=flow_id,
        hash=flow_hash(document.text, defaults),
        source=document.text,
        file=document.file,
        description=form.description,
        timezone=zone,
        locale=locale,
        triggers=triggers,
        when=fields.condition(("when",), form.when, RUN_NAMES) if form.when is not None else None,
        vars=fields.named_values(("vars",), form.vars, EVENT_NAMES),
        blocks=steps.compile(form.steps),
        delivery=_delivery(form.delivery, fields, defaults),
    )
    return flow, claims, fields.problems


def _delivery(form: DeliveryForm, fields: Fields, defaults: FlowDefaults) -> DeliveryPolicy:
    account = form.account or DEFAULT_ACCOUNT
    if defaults.accounts is not None and account not in defaults.accounts:
        known = ", ".join(sorted(defaults.accounts)) or "none"
        hint = near_miss(account, defaults.accounts)
        hint = f"{hint} (accounts: {known})" if hint else f"accounts in the config: {known}"
        said = (
            f'unknown account "{account}"'
            if form.account
            else "the config has no account named default: say which one sends"
        )
        fields.note(("delivery", "account"), said, hint)
    return policy_for(
        form.klass,
        expires=form.expires,
        on_unknown=form.on_unknown,
        attempts=form.attempts,
        limit=form.limit,
        over_limit=form.over_limit,
        account=account,
    )
