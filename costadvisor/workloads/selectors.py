"""Reads workloads, and turns one into what a case and a calibration want."""

from typing import Any

from django.db.models import QuerySet

from costadvisor.accounts.models import Organization
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import PeakToMean


def workload_list(*, organization: Organization) -> QuerySet[Workload]:
    return Workload.objects.filter(organization=organization)


def workload_find(*, organization: Organization, workload_id: int) -> Workload | None:
    return workload_list(organization=organization).filter(pk=workload_id).first()


def workload_to_case(*, workload: Workload) -> dict[str, Any]:
    """The objects `workload`, `slo` and `constraints` of a `costadvisor.case/1`."""
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
    }


def workload_to_calibration(*, workload: Workload) -> dict[str, Any]:
    """A workload file of `python -m engine.calibrate`: the trace's mix of lengths, or the means where none was seen."""
    profile, lengths = workload.profile, workload.length_distribution
    burstiness = {"burstiness": profile.burstiness.value}
    if lengths is not None:
        return burstiness | {"mix": [bucket.model_dump() for bucket in lengths.mix]}
    means = {"input_tokens": profile.input_tokens.value, "output_tokens": profile.output_tokens.value}
    return burstiness | {name: {"mean": mean} for name, mean in means.items()}


def _plain(shape: str | tuple[float, ...]) -> str | list[float]:
    return shape if isinstance(shape, str) else list(shape)
