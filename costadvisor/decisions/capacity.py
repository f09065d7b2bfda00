"""What one replica can do, from a calibration record's file or from a published series of the catalog."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costadvisor.catalog.published import LENGTH_FACTOR, OPEN_LOOP_SHARE, published_capacity
from costadvisor.catalog.snapshot import Catalog
from costadvisor.common.digits import six_digits
from costadvisor.decisions.fits import REACHED, fit_on
from costadvisor.decisions.simulated import Demand, simulated_rate
from costadvisor.economics import CaseError
from engine.calibrate.record import Record, record_read
from engine.errors import InputError

PUBLISHED = "published:"
ESTIMATED = "estimated:bfloat16"
STORED = "sha256:"
SAME_LENGTHS = 0.05
SAME_BURSTINESS = 1.1
HASH_SHOWN = 12
SIMULATED, FAR = "B", "C"  # the best grades of a rate at lengths that were not measured, and of one far off them
FAR_STRETCH = 0.15  # of the rate, by which the interval is wider for the lengths alone


@dataclass(frozen=True)
class Found:
    """`capacity` and its `evidence`, both as a resolved case has them."""

    capacity: dict[str, Any]
    evidence: dict[str, Any]


def capacity_published(name: str, *, path: str, option: dict[str, Any], demand: Demand, catalog: Catalog) -> Found:
    """From the series `name` of the catalog. Raises CaseError at `path` for one that is not there or does not fit."""
    levels = [level for level in catalog.published_throughput if level.series == name]
    if not levels:
        known = ", ".join(sorted({level.series for level in catalog.published_throughput}))
        raise CaseError(path, f"{name!r} is no published series", f"choose one of {known}")
    first, hardware = levels[0], option["hardware"]
    _same_model(first.model, option["model"], path)
    if (first.gpu, first.gpus) != (hardware["gpu"], hardware.get("gpus_per_replica", 1)):
        raise CaseError(
            path, f"was measured on {first.gpus} x {first.gpu}, not on this option's hardware", "choose another series"
        )
    found = published_capacity(
        levels,
        input_tokens=demand.input_tokens,
        output_tokens=demand.output_tokens,
        ttft_p95_ms=demand.ttft_p95_ms,
        tpot_p95_ms=demand.tpot_p95_ms,
    )
    return Found(
        {"requests_per_s": six_digits(found.requests_per_s), "grade": found.grade},
        {
            "grade": found.grade,
            "basis": "imported",
            "source": f"{found.source}: {first.engine} {first.engine_version}, {first.dtype}: {found.formula}",
            "as_of": found.as_of.isoformat(),
        },
    )


def capacity_estimated(*, path: str, option: dict[str, Any], demand: Demand, catalog: Catalog) -> Found:
    """By arithmetic, for a model and a GPU that nobody measured. Raises CaseError at `path` for what is not known or
    does not fit."""
    wanted, hardware = _short(option["model"]), option["hardware"]
    model = next((known for known in catalog.open_models if _short(known.model) == wanted), None)
    if model is None:
        raise CaseError(path, f"the shape of {option['model']} is not known", "give a rate or a measurement")
    context, gpus = round(demand.input_tokens + demand.output_tokens), hardware.get("gpus_per_replica", 1)
    found = fit_on(model, hardware["gpu"], gpus, context=context)
    if found is None:
        where = f"{option['model']} with {context:,} tokens a request does not fit on {gpus} x {hardware['gpu']}"
        raise CaseError(path, where, "take more or larger GPUs")
    rate = found.requests_per_s(
        input_tokens=demand.input_tokens, output_tokens=demand.output_tokens, tpot_p95_ms=demand.tpot_p95_ms
    )
    how = f"{REACHED} of what {found.gpu.source} allows with {found.at_once} requests at once; nobody measured it"
    return Found(
        {"requests_per_s": six_digits(rate), "grade": "E"},
        {"grade": "E", "basis": "estimated", "source": how, "as_of": model.as_of.isoformat()},
    )


def _short(model: str) -> str:
    return model.rsplit("/", 1)[-1].lower()


def record_from_file(file: Path, *, path: str) -> Record:
    """Raises CaseError at `path` for one that can't be read."""
    try:
        return record_read(file)
    except InputError as error:
        problem, _, remedy = str(error).partition("; ")
        raise CaseError(path, problem, remedy or "give the file that a calibration wrote") from None


def capacity_measured(record: Record, *, path: str, option: dict[str, Any], demand: Demand) -> Found:
    """From a calibration record: as measured, or for another demand simulated from its step model, or without one
    divided by how much longer requests are. Raises CaseError at `path` for a record that does not fit the option."""
    _fits(record, option, path)
    if not _measured_for(record, demand):
        found = _simulated(record, demand)
        if found is not None:
            return found
    _same_objective(record, demand, path)
    ratios = _length_ratios(record, demand)
    same_lengths = _same_lengths(record, demand)
    stretch = 1.0 if same_lengths else max(ratios)
    letter = (record.grade.letter or "E") if same_lengths else _grade_at_other_lengths(record, ratios)
    rates, how = _rates(record, path)
    rates = {key: rate / stretch for key, rate in rates.items()}
    scaled = "" if same_lengths else f"; divided by {stretch:.3g} for this workload's lengths"
    return _found(record, rates, letter, f"{how}{scaled}", as_bursty=_as_bursty(record, demand))


def _simulated(record: Record, demand: Demand) -> Found | None:
    """At the demand's own lengths, clumping and objective; None where the record has nothing to simulate with."""
    rate = simulated_rate(record, demand)
    if rate is None:
        return None
    rates = {"requests_per_s": rate.requests_per_s}
    if rate.requests_per_s:
        rates |= {"low": rate.low, "high": rate.high}
    measured = record.workload
    how = (
        f"simulated from its step model for {demand.input_tokens:,.0f} tokens in and {demand.output_tokens:,.0f} out; "
        f"measured with {measured.mean_input_tokens:,.0f} and {measured.mean_output_tokens:,.0f}"
    )
    best = FAR if rate.stretch > FAR_STRETCH else SIMULATED
    return _found(record, rates, max(record.grade.letter or best, best), how, as_bursty=True)


def _found(record: Record, rates: dict[str, float], letter: str, how: str, *, as_bursty: bool) -> Found:
    """A rate that holds for arrivals as bursty as the case's names its record, and is not derated for them again."""
    capacity: dict[str, Any] = {key: six_digits(rate) for key, rate in rates.items()}
    capacity |= {"grade": letter, "record": f"{STORED}{record.sha256}" if as_bursty else None}
    evidence = {
        "grade": letter,
        "basis": _basis(record),
        "source": f"calibration record {record.sha256[:HASH_SHOWN]}, {_where(record)}: {how}",
        "as_of": record.created_at[:10],
    }
    return Found(capacity, evidence)


def _measured_for(record: Record, demand: Demand) -> bool:
    slo = record.slo
    strict = slo.ttft_p95_ms <= demand.ttft_p95_ms and slo.tpot_p95_ms <= demand.tpot_p95_ms
    return strict and _same_lengths(record, demand) and _as_bursty(record, demand)


def _same_lengths(record: Record, demand: Demand) -> bool:
    return all(abs(ratio - 1) <= SAME_LENGTHS for ratio in _length_ratios(record, demand))


def _as_bursty(record: Record, demand: Demand) -> bool:
    burstiness = record.workload.burstiness
    return burstiness is not None and burstiness <= demand.burstiness * SAME_BURSTINESS


def _basis(record: Record) -> str:
    if record.source.scaled_from is not None:
        return "estimated"
    return "measured" if record.source.file_sha256 is None else "imported"


def _rates(record: Record, path: str) -> tuple[dict[str, float], str]:
    """Requests a second with their interval, and in words how they were found. 0 where no rate meets the objective."""
    found, saturation = record.derived.max_rate, record.derived.saturation
    if found is not None:
        rates = {"requests_per_s": found.requests_per_s}
        if (
            record.source.file_sha256 is None
        ):  # an import's is no interval of ours: its grade says how far off it may be
            rates |= {"low": found.low, "high": found.high}
        return rates, record.grade.basis
    if record.derived.no_rate_because == "slo_unreachable":
        return {"requests_per_s": 0.0}, record.grade.basis
    if record.grade.letter is None or saturation is None:
        raise CaseError(path, f"states no rate ({record.grade.basis})", "calibrate again")
    rate = OPEN_LOOP_SHARE * saturation.requests_per_s
    how = f"{OPEN_LOOP_SHARE} x {saturation.requests_per_s:.3g} requests/s"
    return {"requests_per_s": rate}, f"{record.grade.basis}: {how}, the most it reached"


def _length_ratios(record: Record, demand: Demand) -> tuple[float, float]:
    """This workload's mean lengths over the measured ones."""
    measured = record.workload
    return demand.input_tokens / measured.mean_input_tokens, demand.output_tokens / measured.mean_output_tokens


def _grade_at_other_lengths(record: Record, ratios: tuple[float, float]) -> str:
    """No better than a published measurement: C within a factor of two, else D."""
    similar = all(1 / LENGTH_FACTOR <= ratio <= LENGTH_FACTOR for ratio in ratios)
    return max(record.grade.letter or "E", "C" if similar else "D")


def _fits(record: Record, option: dict[str, Any], path: str) -> None:
    _same_model(record.model.name, option["model"], path)
    hardware = option["hardware"]
    gpu, count = str(hardware["gpu"]), hardware.get("gpus_per_replica", 1)
    names = [measured.name for measured in record.hardware.gpus]
    if record.hardware.device == "cpu":
        fits = gpu.upper() == "CPU"
    else:
        fits = len(names) == count and all(_family(gpu) in name.upper() for name in names)
    if not fits:
        raise CaseError(
            path, f"was measured on {_hardware(record)}, not on {count} x {gpu}", "calibrate on that hardware"
        )


def _family(gpu: str) -> str:
    """`A100 80GB` is an A100, whatever a driver adds to its name."""
    return gpu.upper().removesuffix(" 80GB")


def _same_model(measured: str, wanted: str, path: str) -> None:
    if measured.rsplit("/", 1)[-1].lower() != wanted.rsplit("/", 1)[-1].lower():
        raise CaseError(path, f"was measured with {measured}, not with {wanted}", "choose a measurement of this model")


def _same_objective(record: Record, demand: Demand, path: str) -> None:
    """A rate found inside a stricter objective holds in a looser one, and never the other way round."""
    slo = record.slo
    if slo.ttft_p95_ms > demand.ttft_p95_ms or slo.tpot_p95_ms > demand.tpot_p95_ms:
        raise CaseError(
            path,
            f"was measured for a p95 of {slo.ttft_p95_ms:g} ms TTFT and {slo.tpot_p95_ms:g} ms TPOT, looser than slo",
            f"calibrate with --slo ttft_p95_ms={demand.ttft_p95_ms:g},tpot_p95_ms={demand.tpot_p95_ms:g}",
        )


def _where(record: Record) -> str:
    scaled = record.derived.scaled
    if scaled is not None:
        return f"{_hardware(record)}, from one of {scaled.from_gpu}"
    tool = "our engine" if record.source.file_sha256 is None else record.source.tool
    return f"{tool} on {_hardware(record)}" + (f", {record.tier} tier" if record.tier else "")


def _hardware(record: Record) -> str:
    hardware = record.hardware
    if hardware.gpus:
        return f"{len(hardware.gpus)} x {hardware.gpus[0].name}"
    return f"CPU, {hardware.cpu.cores} cores" if hardware.cpu else "CPU"
