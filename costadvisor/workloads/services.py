"""Writes workloads: by hand, from the bill, from a trace."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal
from costadvisor.spend.selectors import hourly_requests, usage_months
from costadvisor.workloads.derive import (
    bill_source,
    figures_from_trace,
    hourly_shape_from_counts,
    months_of_use,
    profile_from_months,
    profile_from_trace,
    trace_source,
)
from costadvisor.workloads.measures import trace_lengths
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import Figure, Lengths, Profile
from costadvisor.workloads.traces import BadTrace, Trace, parse_trace

_LENGTH_FIGURES = {"input_tokens", "output_tokens"}


@transaction.atomic
def workload_create(
    *, organization: Organization, actor: User, name: str, profile: Profile, lengths: Lengths | None = None
) -> Workload:
    """Raises Refusal for an empty or taken name."""
    workload = Workload(organization=organization, created_by=actor)
    return _save(workload, actor, "workload_create", name=name, profile=profile, lengths=lengths)


@transaction.atomic
def workload_update(*, workload: Workload, actor: User, name: str, figures: Mapping[str, Figure[Any]]) -> Workload:
    """Replaces the figures given. Lengths typed by hand part the profile from its trace's distribution."""
    lengths = None if _LENGTH_FIGURES & figures.keys() else workload.length_distribution
    profile = workload.profile.with_figures(figures)
    return _save(workload, actor, "workload_update", name=name, profile=profile, lengths=lengths)


def workload_derive_from_spend(
    *, organization: Organization, actor: User, name: str, provider: str, model: str
) -> Workload:
    """From the last whole months of a provider's model in the bill. Raises Refusal if there is none."""
    usage = usage_months(organization=organization)
    months = months_of_use(row for row in usage if (row.provider, row.model) == (provider, model))
    profile = profile_from_months(months, provider=provider, model=model)
    counts = hourly_requests(organization=organization, provider=provider, model=model)
    shape = hourly_shape_from_counts(counts, source=f"{bill_source(provider, model)}by the hour")
    return workload_create(organization=organization, actor=actor, name=name, profile=profile.with_figures(shape))


def workload_derive_from_trace(
    *, organization: Organization, actor: User, name: str, file_name: str, content: bytes, requests_per_month: float
) -> Workload:
    """A trace shows an hour or a day, so the month's requests are given beside it. Raises Refusal for a bad trace."""
    trace = _parsed(content)
    profile = profile_from_trace(
        trace,
        file_name=file_name,
        requests_per_month=requests_per_month,
        volume_source=f"entered by {actor.email}",
    )
    lengths = trace_lengths(trace, trace_source(trace, file_name))
    return workload_create(organization=organization, actor=actor, name=name, profile=profile, lengths=lengths)


@transaction.atomic
def workload_apply_trace(*, workload: Workload, actor: User, file_name: str, content: bytes) -> Workload:
    """Takes lengths, burstiness and (from a week on) the week's shape from a trace; the volume stays."""
    trace = _parsed(content)
    profile = workload.profile.with_figures(figures_from_trace(trace, file_name=file_name))
    lengths = trace_lengths(trace, trace_source(trace, file_name))
    return _save(workload, actor, "workload_apply_trace", name=workload.name, profile=profile, lengths=lengths)


def _parsed(content: bytes) -> Trace:
    try:
        return parse_trace(content)
    except BadTrace as error:
        raise Refusal(str(error), field="trace") from error


def _save(
    workload: Workload, actor: User, action: str, *, name: str, profile: Profile, lengths: Lengths | None
) -> Workload:
    workload.name = name.strip()
    if not workload.name:
        raise Refusal("A workload needs a name.", field="name")
    others = Workload.objects.filter(organization_id=workload.organization_id, name=workload.name)
    if others.exclude(pk=workload.pk).exists():
        raise Refusal(f"There is a workload called “{workload.name}” already; choose another name.", field="name")
    workload.figures = profile.model_dump(mode="json")
    workload.lengths = None if lengths is None else lengths.model_dump(mode="json")
    workload.save()
    event_record(
        action=action,
        object_kind="workload",
        object_id=workload.pk,
        organization_id=workload.organization_id,
        actor_id=actor.pk,
        actor_email=actor.email,
        details={"name": workload.name},
    )
    return workload
