"""A record as its page shows it: a sentence, rows of facts, levels, flags. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from costadvisor.calibration.record_facts import hardware_name
from costadvisor.common.money import UNKNOWN
from costadvisor.common.templatetags.figures import count, duration, percent, quantity
from engine.calibrate.record import Record
from engine.calibrate.record_derived import Compared
from engine.calibrate.record_parts import Distribution, Flag, Level

NO_RATE = {
    "slo_unreachable": "not even a lone request meets the latency target",
    "no_level_inside": "no level of the file meets the latency target, and none is light enough to say that none could",
    "model_misfit": "the step model did not fit what was measured, so nothing could be predicted from it",
    "too_few_levels": "too few levels were measured",
    "contended": "other processes used the machine while it was measured; measure again when it is idle",
    "incomplete": "the calibration was stopped before its end",
    "void": "the machine drifted too far between beginning and end",
    "unknown": "the file does not tell it",
}
BINDING = {
    "ttft_p95_ms": "the time to the first token",
    "tpot_p95_ms": "the time per output token",
    "saturation": "the throughput itself",
}
PURPOSES = {
    "reference": "Reference", "step_map": "Step map", "bracket": "Bracket", "verification": "Verification",
    "replication": "Replication", "bursty": "Bursty", "prefix_sharing": "Shared prefixes",
    "reference_again": "Reference again", "imported": "Imported",
}  # fmt: skip
METRICS = {
    "ttft_mean_ms": "Time to first token, mean, ms", "ttft_p95_ms": "Time to first token, p95, ms",
    "tpot_mean_ms": "Time per output token, mean, ms", "tpot_p95_ms": "Time per output token, p95, ms",
    "output_tokens_per_s": "Output tokens per second",
}  # fmt: skip


@dataclass(frozen=True)
class Fact:
    label: str
    value: str


@dataclass(frozen=True)
class LevelRow:
    """Columns as text; latencies in ms."""

    id: str
    purpose: str
    load: str
    window_s: str
    requests: str
    output_tokens_per_s: str
    ttft_p50: str
    ttft_p95: str
    tpot_p50: str
    tpot_p95: str
    kv_use: str
    notes: str


@dataclass(frozen=True)
class FlagRow:
    """One kind of flag: where it was raised, and the number and words of the worst case."""

    name: str
    where: str
    number: str
    message: str


@dataclass(frozen=True)
class ComparedRow:
    metric: str
    measured: str
    predicted: str
    deviation: str
    n: int


def answer_sentence(record: Record) -> str:
    rate, slo = record.derived.max_rate, record.slo
    first, each = quantity(slo.ttft_p95_ms), quantity(slo.tpot_p95_ms)
    target = f"95 % of first tokens within {first} ms and of output tokens within {each} ms"
    if rate is None:
        reason = NO_RATE[record.derived.no_rate_because or "unknown"]
        return f"No sustainable rate can be stated for {target}: {reason}."
    bound = f" What binds is {BINDING[record.derived.binding]}." if record.derived.binding else ""
    interval = "95 % interval " if record.source.file_sha256 is None else ""
    return (
        f"One replica sustains {_three(rate.requests_per_s)} requests per second, with {target}"
        f" ({interval}{_three(rate.low)} to {_three(rate.high)}, {rate.method}).{bound}"
        f" Plan a replica with {_three(rate.low)}."
    )


def fact_rows(record: Record) -> Iterator[Fact]:
    """What was measured on what."""
    yield Fact("Hardware", _hardware(record))
    yield Fact("Model", _model(record))
    yield Fact("Weights", _weights(record))
    yield Fact(
        "Lengths sent", f"{_tokens(record.workload.mean_input_tokens, record.workload.mean_output_tokens)}, mean"
    )
    yield Fact(
        "Lengths achieved",
        f"{_tokens(record.achieved.mean_input_tokens, record.achieved.mean_output_tokens)},"
        f" {count(record.achieved.requests)} requests at full length",
    )
    yield Fact("Burstiness of arrivals", quantity(record.workload.burstiness))
    yield Fact("Prefix hits", percent(record.achieved.prefix_hit_share))
    yield Fact("Fastest level", _saturation(record))
    if record.cold_start is not None:
        yield Fact("Cold start", f"{duration(record.cold_start.seconds)} from nothing to the first token")
    yield Fact("Engine", _engine(record))
    yield Fact("Software", _software(record))


def provenance_rows(record: Record) -> Iterator[Fact]:
    source = record.source
    commit = f", commit {source.commit[:12]}" if source.commit else ""
    changed = " with changes not committed" if source.dirty else ""
    tool = f"{source.tool} {source.version}" if source.version else source.tool
    yield Fact("Measured by", f"{tool}{commit}{changed}")
    yield Fact("When", record.created_at.replace("T", " ").replace("Z", " UTC"))
    yield Fact("Protocol", f"{record.protocol}, tier {record.tier or UNKNOWN}, seed {_known(record.seed)}")
    if record.wall_s:
        yield Fact("Time taken", duration(sum(record.wall_s.values())))
    if source.file_sha256:
        yield Fact("Hash of the imported file", source.file_sha256)
    if source.scaled_from:
        yield Fact("Not measured: scaled from the record", source.scaled_from)
    if record.raw is not None:
        yield Fact("Rows per request and iteration", f"{count(record.raw.rows)}, hash {record.raw.sha256}")


def level_rows(record: Record) -> list[LevelRow]:
    return [_level_row(level) for level in record.levels]


def flag_rows(record: Record) -> list[FlagRow]:
    """A row for each kind, in the record's order: one that many levels share would bury the others."""
    kinds: dict[str, list[Flag]] = {}
    for flag in record.flags:
        kinds.setdefault(flag.code, []).append(flag)
    return [_flag_row(flags) for flags in kinds.values()]


def compared_rows(record: Record) -> list[ComparedRow]:
    verification = record.derived.verification
    return [] if verification is None else [_compared_row(metric) for metric in verification.compared]


def _level_row(level: Level) -> LevelRow:
    open_loop = level.mode == "open"
    load = f"{_three(level.offered_requests_per_s)} requests/s" if open_loop else _at_a_time(level.concurrency)
    notes = [] if level.complete else ["cut short"]
    if level.preemptions:
        notes.append(f"{level.preemptions} preempted")
    if level.meeting_slo is not None and open_loop:
        notes.append(f"{level.meeting_slo} of {level.attempted} met the target")
    return LevelRow(
        id=level.id,
        purpose=PURPOSES[level.purpose],
        load=load,
        window_s=quantity(level.window_s),
        requests=f"{count(level.finished)} of {count(level.attempted)}",
        output_tokens_per_s=quantity(level.output_tokens_per_s),
        ttft_p50=_percentile(level.ttft_ms.p50, level.ttft_ms),
        ttft_p95=_percentile(level.ttft_ms.p95, level.ttft_ms),
        tpot_p50=_percentile(level.tpot_ms.p50, level.tpot_ms),
        tpot_p95=_percentile(level.tpot_ms.p95, level.tpot_ms),
        kv_use=percent(level.kv_use_max),
        notes=", ".join(notes),
    )


def _at_a_time(concurrency: int | None) -> str:
    return "all at once" if concurrency is None else f"{concurrency} at a time"


def _flag_row(flags: Sequence[Flag]) -> FlagRow:
    worst = max(flags, key=lambda flag: abs(flag.value or 0.0))
    where = worst.level or "whole record"
    if len(flags) > 1:
        where = f"{len(flags)} levels, most {where}"
    number = "" if worst.value is None else quantity(worst.value)
    if number and worst.limit is not None:
        number = f"{number} (limit {quantity(worst.limit)})"
    return FlagRow(worst.code.replace("_", " "), where, number, worst.message)


def _compared_row(compared: Compared) -> ComparedRow:
    return ComparedRow(
        metric=METRICS[compared.metric],
        measured=_three(compared.measured),
        predicted=_three(compared.predicted),
        deviation=percent(compared.deviation),
        n=compared.n,
    )


def _percentile(value: float | None, distribution: Distribution) -> str:
    """Too few requests for a percentile is no secret, and neither is how many there were."""
    return quantity(value) if value is not None else f"n = {_known(distribution.n)}"


def _hardware(record: Record) -> str:
    gpus = record.hardware.gpus
    parts = [hardware_name(record)]
    if gpus:
        parts += [f"{quantity(gpus[0].memory_gib)} GiB each", f"driver {gpus[0].driver or UNKNOWN}"]
    if record.hardware.cpu is not None:
        cpu = record.hardware.cpu
        parts.append(f"{f'{cpu.model}, {cpu.cores} cores, ' if gpus else ''}{quantity(cpu.memory_gib)} GiB of memory")
    return ", ".join(parts)


def _model(record: Record) -> str:
    model = record.model
    shape = f"{_known(model.layers)} layers, hidden size {_known(model.hidden)}" if model.layers else "shape unknown"
    kinds = f"{model.dtype or 'type unknown'}{f', {model.quantization}' if model.quantization else ''}"
    return f"{model.name} ({shape}, {kinds})"


def _weights(record: Record) -> str:
    weights = record.model.weights
    if weights is None:
        return UNKNOWN
    if weights == "dummy":
        return "random ones of the model's shape"
    return ", ".join(f"{name} {sha256[:12]}…" for name, sha256 in sorted(weights.items()))


def _saturation(record: Record) -> str:
    fastest = record.derived.saturation
    if fastest is None:
        return UNKNOWN
    return (
        f"{quantity(fastest.output_tokens_per_s)} output tokens/s with {_known(fastest.concurrency)} at a time;"
        " no rate to plan with, for arrivals that clump miss the target long before"
    )


def _engine(record: Record) -> str:
    engine = record.engine
    return (
        f"{_known(engine.num_blocks)} KV blocks of {_known(engine.block_size)} tokens, at most"
        f" {_known(engine.max_batch)} requests at once, {_known(engine.token_budget)} tokens a step,"
        f" {_known(engine.threads)} threads"
    )


def _software(record: Record) -> str:
    software = record.software
    named = [("Python", software.python), ("torch", software.torch), ("Triton", software.triton)]
    if software.engine:
        named.insert(0, (software.engine, software.engine_version or "of unknown version"))
    return ", ".join(f"{name} {version}" for name, version in named if version) or UNKNOWN


def _tokens(mean_input: float | None, mean_output: float | None) -> str:
    return f"{quantity(mean_input)} tokens in, {quantity(mean_output)} out"


def _three(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def _known(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def curve_levels(levels: Sequence[Level]) -> list[Level]:
    """The closed-loop levels that a curve can be drawn through, from few at a time to many. Of one that was repeated,
    the run that other processes disturbed least."""
    best: dict[int, Level] = {}
    for level in sorted(levels, key=lambda level: level.other_cpu_share or 0.0):
        mapped = level.mode == "closed" and level.purpose in ("step_map", "imported")
        if mapped and level.concurrency and level.output_tokens_per_s and level.tpot_ms.mean is not None:
            best.setdefault(level.concurrency, level)
    return [best[concurrency] for concurrency in sorted(best)]
