"""Reads workloads, and turns one into what a case and a calibration want."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet

from costadvisor.accounts.models import Organization
from costadvisor.common.digits import six_digits
from costadvisor.spend.part_use import part_uses
from costadvisor.spend.parts import By, Part
from costadvisor.workloads.from_spend import part_profile
from costadvisor.workloads.merge import NamedProfile
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import PeakToMean, Profile

# What a case itself takes growth a month to be off by, `costadvisor.economics.inputs`.
GROWTH_BELOW, GROWTH_ABOVE = 0.02, 0.04


def workload_list(*, organization: Organization) -> QuerySet[Workload]:
    return Workload.objects.filter(organization=organization)


def workload_find(*, organization: Organization, workload_id: int) -> Workload | None:
    return workload_list(organization=organization).filter(pk=workload_id).first()


def workloads_of(*, organization: Organization, ids: Iterable[int]) -> list[Workload]:
    """Those of the organization; other ids name nothing."""
    return list(workload_list(organization=organization).filter(pk__in=list(ids)))


def parts_of_bill(*, organization: Organization, by: By) -> list[Part]:
    return list(part_uses(organization=organization, by=by))


def parts_derived(*, organization: Organization, parts: Sequence[Part]) -> list[NamedProfile]:
    """Raises Refusal for a part without a whole month of requests and tokens."""
    uses = {by: part_uses(organization=organization, by=by) for by in {part.by for part in parts}}
    return [part_profile(organization=organization, part=part, uses=uses[part.by]) for part in parts]


def workload_to_case(*, workload: Workload) -> dict[str, Any]:
    """The objects `workload`, `slo` and `constraints` of a `costadvisor.case/1`, and `uncertainty` where the bill tells
    how sure its growth is."""
    profile = workload.profile
    shape, gate = profile.hourly_shape.value, profile.quality_gate.value
    return {
        "workload": {
            "requests_per_month": profile.requests_per_month.value,
            "input_tokens": {"mean": profile.input_tokens.value},
            "output_tokens": {"mean": profile.output_tokens.value},
            "cached_input_share": profile.cached_input_share.value,
            "batchable_share": profile.batchable_share.value,
            "hourly_shape": shape.model_dump() if isinstance(shape, PeakToMean) else _plain(shape),
            "burstiness": profile.burstiness.value,
            "growth_per_month": profile.growth_per_month.value,
        },
        "slo": {"ttft_p95_ms": profile.ttft_p95_ms.value, "tpot_p95_ms": profile.tpot_p95_ms.value},
        "constraints": {
            "privacy": list(profile.privacy.value),
            "min_quality": None if gate is None else gate.model_dump(),
            "max_commitment_months": profile.max_commitment_months.value,
        },
    } | _uncertainty(profile)


def workload_to_calibration(*, workload: Workload) -> dict[str, Any]:
    """A workload file of `python -m engine.calibrate`: the mix of lengths seen, or the means where none was."""
    profile, lengths = workload.profile, workload.length_distribution
    traffic: dict[str, Any] = {"burstiness": profile.burstiness.value}
    if profile.prefix_hit_share.value:
        traffic["prefix_hit_share"] = profile.prefix_hit_share.value
    if lengths is not None:
        return traffic | {"mix": [bucket.model_dump() for bucket in lengths.mix]}
    means = {"input_tokens": profile.input_tokens.value, "output_tokens": profile.output_tokens.value}
    return traffic | {name: {"mean": mean} for name, mean in means.items()}


def _uncertainty(profile: Profile) -> dict[str, Any]:
    """How sure the trend of the past is bounds how sure the future can be: only what is wider than a case's own range
    for growth is handed on."""
    growth = profile.growth_per_month
    if growth.low is None or growth.high is None:
        return {}
    low, high = growth.value - GROWTH_BELOW, growth.value + GROWTH_ABOVE
    if growth.low >= low and growth.high <= high:
        return {}
    bounds = [six_digits(min(growth.low, low)), growth.value, six_digits(max(growth.high, high))]
    return {"uncertainty": {"/workload/growth_per_month": bounds}}


def _plain(shape: str | tuple[float, ...]) -> str | list[float]:
    return shape if isinstance(shape, str) else list(shape)
