"""Writes workloads: by hand, from the bill and its logs, from a trace or a table of rates, from other workloads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.services import event_record
from costadvisor.common.refusal import Refusal
from costadvisor.spend.parts import Part
from costadvisor.workloads.derive import figures_from_requests, profile_from_trace, requests_source
from costadvisor.workloads.measures import lengths_of
from costadvisor.workloads.merge import NamedProfile, merged
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import Figure, Lengths, Profile
from costadvisor.workloads.requests import trace_requests
from costadvisor.workloads.selectors import parts_derived
from costadvisor.workloads.series import RATE_COLUMNS, TOKEN_COLUMNS, figures_from_series, table_read

_LENGTH_FIGURES = {"input_tokens", "output_tokens"}


@transaction.atomic
def workload_create(
    *,
    organization: Organization,
    actor: User | None,
    name: str,
    profile: Profile,
    lengths: Lengths | None = None,
    action: str = "workload_create",
) -> Workload:
    """Raises Refusal for an empty or taken name."""
    workload = Workload(organization=organization, created_by=actor)
    return _save(workload, actor, action, name=name, profile=profile, lengths=lengths)


@transaction.atomic
def workload_update(
    *, workload: Workload, actor: User | None, name: str, figures: Mapping[str, Figure[Any]]
) -> Workload:
    """Replaces the figures given. Lengths typed by hand part the profile from its trace's distribution."""
    lengths = None if _LENGTH_FIGURES & figures.keys() else workload.length_distribution
    profile = workload.profile.with_figures(figures)
    return _save(workload, actor, "workload_update", name=name, profile=profile, lengths=lengths)


@transaction.atomic
def workload_remove(*, workload: Workload, actor: User | None) -> None:
    """Decisions and calibrations keep the copies that they made."""
    _record(workload, actor, "workload_remove")
    workload.delete()


def workload_derive_from_spend(
    *, organization: Organization, actor: User | None, name: str, provider: str, model: str
) -> Workload:
    """From the last whole months of a provider's model in the bill. Raises Refusal if there is none."""
    part = Part(provider, model)
    return workloads_derive(organization=organization, actor=actor, name=name, parts=[part], together=True)[0]


@transaction.atomic
def workloads_derive(
    *, organization: Organization, actor: User | None, name: str, parts: Sequence[Part], together: bool
) -> list[Workload]:
    """Of parts of the bill: one workload of all, or one of each, named after it. Raises Refusal where a part has no
    whole month; then nothing is stored."""
    if not parts:
        raise Refusal("Choose at least one part of the bill.", field="parts")
    derived = parts_derived(organization=organization, parts=parts)
    if together:
        derived = [derived[0] if len(derived) == 1 else merged(derived)]
    named = [(name if len(derived) == 1 else f"{name}: {part.name}"[:120], part) for part in derived]
    return [
        workload_create(
            organization=organization, actor=actor, name=each, profile=part.profile, lengths=part.lengths,
            action="workload_derive",
        )
        for each, part in named
    ]  # fmt: skip


@transaction.atomic
def workloads_merge(
    *, organization: Organization, actor: User | None, name: str, workloads: Sequence[Workload], remove: bool = False
) -> Workload:
    """One workload that serves all of them; `remove` takes them away. Raises Refusal where they cannot be merged."""
    named = [NamedProfile(each.name, each.profile, each.length_distribution) for each in workloads]
    whole = merged(named)
    if remove:
        for each in workloads:
            workload_remove(workload=each, actor=actor)
    return workload_create(
        organization=organization, actor=actor, name=name, profile=whole.profile, lengths=whole.lengths,
        action="workload_merge",
    )  # fmt: skip


def workload_derive_from_trace(
    *,
    organization: Organization,
    actor: User | None,
    name: str,
    file_name: str,
    content: bytes,
    requests_per_month: float,
    volume_source: str,
) -> Workload:
    """A trace shows an hour or a day, so the month's requests are given beside it. Raises Refusal for a bad trace."""
    trace = trace_requests(content, file_name)
    source = requests_source(trace, file_name)
    profile = profile_from_trace(
        trace, source=source, requests_per_month=requests_per_month, volume_source=volume_source
    )
    return workload_create(
        organization=organization, actor=actor, name=name, profile=profile, lengths=lengths_of(trace, source)
    )


def workload_derive_from_series(
    *,
    organization: Organization,
    actor: User | None,
    name: str,
    rates: tuple[str, bytes],
    lengths: tuple[str, bytes] | None,
    began_at: datetime | None,
    typed: Mapping[str, Figure[Any]],
) -> Workload:
    """From a table of rates and one of lengths, each a name and its content; `typed` stands for what they lack.

    Raises Refusal for a bad table, and where nothing says the lengths.
    """
    table = table_read(rates[1], rates[0], RATE_COLUMNS, "rates")
    beside = None if lengths is None else table_read(lengths[1], lengths[0], TOKEN_COLUMNS, "lengths")
    figures = dict(typed) | figures_from_series(table, beside, began_at)
    for missing in sorted(_LENGTH_FIGURES - figures.keys()):
        raise Refusal("Give a table of lengths, or the mean tokens of a request.", field=missing)
    return workload_create(organization=organization, actor=actor, name=name, profile=Profile.of(figures))


@transaction.atomic
def workload_apply_trace(*, workload: Workload, actor: User | None, file_name: str, content: bytes) -> Workload:
    """Takes lengths, burstiness, shared prefixes and (from a week on) the week from a trace; the volume stays."""
    trace = trace_requests(content, file_name)
    source = requests_source(trace, file_name)
    profile = workload.profile.with_figures(figures_from_requests(trace, source=source))
    lengths = lengths_of(trace, source)
    return _save(workload, actor, "workload_apply_trace", name=workload.name, profile=profile, lengths=lengths)


def _save(
    workload: Workload, actor: User | None, action: str, *, name: str, profile: Profile, lengths: Lengths | None
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
    _record(workload, actor, action)
    return workload


def _record(workload: Workload, actor: User | None, action: str) -> None:
    event_record(
        action=action,
        object_kind="workload",
        object_id=workload.pk,
        organization_id=workload.organization_id,
        actor_id=actor.pk if actor else None,
        actor_email=actor.email if actor else "",
        details={"name": workload.name},
    )
