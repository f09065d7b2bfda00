"""What could be an option: hosts of open models, published measurements, and the organization's own records."""

from collections.abc import Iterable
from dataclasses import dataclass

from costadvisor.catalog.facts import PublishedThroughput
from costadvisor.catalog.snapshot import snapshot
from costadvisor.decisions.capacity import PUBLISHED, STORED
from costadvisor.decisions.written import WrittenOption, api_option, published_quality, rented_option
from engine.calibrate.record import Record

RENTED_PRIVACY = ("own_vpc", "in_region")
RENTED_WHERE = "rented in your own cloud account and region"  # which nothing shows: it is assumed
NOTHING_TYPED = ""


@dataclass(frozen=True)
class Candidate:
    """`key` names it in forms and, for a measurement, is what a case's `record` says."""

    key: str
    model: str
    label: str
    written: WrittenOption


def hosts() -> list[Candidate]:
    """Hosts of open models, as the catalog lists them."""
    return [
        Candidate(
            key=f"host:{host.provider}:{host.provider_model}",
            model=host.model,
            label=f"{_short(host.model)} at {host.provider}",
            written=api_option(
                provider=host.provider,
                model=host.provider_model,
                open_weights=True,
                quality=published_quality(snapshot().quality_scores, model=host.model),
                source=NOTHING_TYPED,
            ),
        )
        for host in snapshot().hosted_models
    ]


def published() -> list[Candidate]:
    """Published measurements: one candidate a series, whatever its number of levels."""
    series: dict[str, PublishedThroughput] = {}
    for level in snapshot().published_throughput:
        series.setdefault(level.series, level)
    return [_published(level) for level in series.values()]


def measured(records: Iterable[Record]) -> list[Candidate]:
    """The organization's own calibrations."""
    return [_measured(record) for record in records]


def _published(level: PublishedThroughput) -> Candidate:
    engine = f"{level.engine} {level.engine_version}, {level.dtype}"
    lengths = f"{level.input_tokens:,} tokens in, {level.output_tokens:,} out"
    key = f"{PUBLISHED}{level.series}"
    return Candidate(
        key=key,
        model=level.model,
        label=f"{_place(level.model, level.gpu, level.gpus)}: {engine}, {lengths}",
        written=rented_option(
            model=level.model,
            gpu=level.gpu,
            gpus_per_replica=level.gpus,
            capacity={"record": key},
            privacy=RENTED_PRIVACY,
            quality=published_quality(snapshot().quality_scores, model=level.model, dtype=level.dtype),
            source=RENTED_WHERE,
        ),
    )


def _measured(record: Record) -> Candidate:
    gpu, count = _hardware(record)
    key = f"{STORED}{record.sha256}"
    lengths = f"{record.workload.mean_input_tokens:,.0f} tokens in, {record.workload.mean_output_tokens:,.0f} out"
    day, grade = record.created_at[:10], record.grade.letter or "none"
    return Candidate(
        key=key,
        model=record.model.name,
        label=f"{_place(record.model.name, gpu, count)}: our calibration of {day}, {lengths}, grade {grade}",
        written=rented_option(
            model=record.model.name,
            gpu=gpu,
            gpus_per_replica=count,
            capacity={"record": key},
            privacy=RENTED_PRIVACY,
            quality=published_quality(snapshot().quality_scores, model=record.model.name),
            source=RENTED_WHERE,
        ),
    )


def _hardware(record: Record) -> tuple[str, int]:
    """The GPU by the catalog's name, and how many. `CPU` for a machine without one."""
    names = [gpu.name.upper() for gpu in record.hardware.gpus]
    if not names:
        return "CPU", 1
    known = {offer.gpu for offer in snapshot().gpu_offers if offer.gpus}
    fitting = [gpu for gpu in known if gpu.upper().removesuffix(" 80GB") in names[0]]
    return max(fitting, key=len, default=record.hardware.gpus[0].name), len(names)


def _place(model: str, gpu: str, gpus: int) -> str:
    return f"{_short(model)} on {f'{gpus} x ' if gpus > 1 else ''}{gpu}"


def _short(model: str) -> str:
    return model.rsplit("/", 1)[-1]
