"""From result files to a calibration record. Pure: no clock, no disk, no network, and neither torch nor Django."""

import hashlib
import math
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from engine.calibrate.ingest.document import objects
from engine.calibrate.ingest.facts import Facts, Given, facts_agreed, facts_completed
from engine.calibrate.ingest.flags import flags_of
from engine.calibrate.ingest.parts import (
    achieved_part,
    derived_part,
    engine_part,
    hardware_part,
    level_part,
    model_part,
    software_part,
    workload_part,
)
from engine.calibrate.ingest.rate import sustained
from engine.calibrate.ingest.registry import format_of
from engine.calibrate.ingest.tool_level import Load, Result, ToolLevel
from engine.calibrate.metrics import DEFINITIONS
from engine.calibrate.record import Record
from engine.calibrate.record_parts import SloLimits, Source
from engine.errors import InputError

PROTOCOL = "import/1"
LENGTHS_WITHIN = 0.1
MOST_LEVELS = 200
_MEASURED_ELSEWHERE = {
    "ttft": "t_first - t_sent, as the tool's client saw it",
    "throughput": "tokens and requests of the whole run, its beginning and its end included",
}


def ingest(data: bytes, name: str, given: Given) -> Record:
    """The record of one result file. Raises InputError for a file or for words that can't be used."""
    return ingest_files(((name, data),), given)


def ingest_files(files: Sequence[tuple[str, bytes]], given: Given) -> Record:
    """The record of several files, each with its name: their levels together. The same files, the same record."""
    hashed = _hash_of_files([data for _, data in files])
    found = [fields for name, data in files for fields in objects(data, name)]
    kind = format_of(found)
    results = list(kind.results(found))
    levels = _levels(results, given)
    facts = facts_completed(facts_agreed((result.where, result.facts) for result in results), given.facts)
    source = Source(tool=kind.TOOL, version=kind.version(found), file_sha256=hashed)
    try:
        return _record(source, facts, levels, given)
    except (ValidationError, ArithmeticError):
        raise InputError(
            "the files' figures are absurd together; check that they are as the benchmark wrote them"
        ) from None


def _record(source: Source, facts: Facts, levels: Sequence[ToolLevel], given: Given) -> Record:
    names, rate, day = _names(levels), sustained(levels, given.slo), _day(levels, given)
    loads = [level.load for level in levels]
    identity = f"{source.file_sha256} {facts} {given.slo} {loads} {day}"
    return Record(
        id=str(uuid.UUID(hashlib.sha256(identity.encode()).hexdigest()[:32])),
        created_at=f"{day}T00:00:00Z",
        complete=all(level.complete for level in levels),
        source=source,
        protocol=PROTOCOL,
        tier=None,
        seed=None,
        wall_s={},
        definitions=DEFINITIONS | _MEASURED_ELSEWHERE,
        hardware=hardware_part(facts),
        software=software_part(facts),
        model=model_part(facts),
        engine=engine_part(facts),
        workload=workload_part(levels),
        achieved=achieved_part(levels),
        slo=SloLimits(ttft_p95_ms=given.slo.ttft_p95_ms, tpot_p95_ms=given.slo.tpot_p95_ms, preset=given.slo.preset),
        smoke=None,
        cold_start=None,
        soak=None,
        levels=tuple(level_part(name, level, given.slo) for name, level in zip(names, levels, strict=True)),
        derived=derived_part(names, levels, rate),
        flags=flags_of(source.tool, names, levels, rate),
        raw=None,
    )


def _hash_of_files(files: Sequence[bytes]) -> str:
    """A file's SHA-256; of several, that of their sorted hashes, one a line."""
    hashes = sorted(hashlib.sha256(data).hexdigest() for data in files)
    if len(set(hashes)) < len(hashes):
        raise InputError("the same file was given twice; give each once")
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _levels(results: Sequence[Result], given: Given) -> list[ToolLevel]:
    levels = [_with_load(result.where, result.level, given) for result in results if result.level is not None]
    if not levels:
        raise InputError("the file only describes a benchmark; give the files of its runs as well")
    if len(levels) > MOST_LEVELS:
        raise InputError(f"the files have {len(levels)} runs; at most {MOST_LEVELS} are read")
    for length in ("mean_input_tokens", "mean_output_tokens"):
        values = [getattr(level, length) for level in levels]
        if max(values) > (1 + LENGTHS_WITHIN) * min(values):
            raise InputError(
                f"the runs have {length} from {min(values):.0f} to {max(values):.0f}; import one workload at a time"
            )
    return sorted(levels, key=_weight)


def _weight(level: ToolLevel) -> tuple[str, float, float]:
    """Closed loops before open ones, each from light to heavy, in whatever order the files came."""
    load = level.load or Load("closed")
    return load.mode, load.concurrency or load.requests_per_s or math.inf, level.requests_per_s


def _with_load(where: str, level: ToolLevel, given: Given) -> ToolLevel:
    """The level with the load that the person adds. Raises InputError where it lacks or contradicts the file's."""
    added = given.requests_per_s or given.concurrency
    if level.load is not None:
        if added and added not in (level.load.requests_per_s, level.load.concurrency):
            raise InputError(
                f"{where}: the file says how requests were sent; leave --request-rate and --concurrency out"
            )
        return level
    if given.requests_per_s is not None:
        return replace(level, load=Load("open", given.requests_per_s, 1.0))
    if given.concurrency is not None:
        return replace(level, load=Load("closed", concurrency=given.concurrency))
    raise InputError(
        f"{where}: does not say how requests were sent; give --request-rate R (random arrivals) or --concurrency N"
    )


def _names(levels: Sequence[ToolLevel]) -> list[str]:
    """`rate-8`, `concurrency-16`; a repeated one is numbered."""
    seen: Counter[str] = Counter()
    names = []
    for level in levels:
        name = _load_name(level)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-run-{seen[name]}")
    return names


def _load_name(level: ToolLevel) -> str:
    load = level.load
    if load is None or load.all_at_once:
        return "all-at-once"
    return f"rate-{load.requests_per_s:g}" if load.mode == "open" else f"concurrency-{load.concurrency}"


def _day(levels: Sequence[ToolLevel], given: Given) -> str:
    """When the last level was measured; the day of the import where nobody knows."""
    days = [level.measured_on for level in levels if level.measured_on is not None]
    if days and given.measured_on is not None and given.measured_on not in days:
        raise InputError(f"--measured-on {given.measured_on}: the file says {max(days)}; leave the flag out")
    day = max(days, default=None) or given.measured_on or given.today
    if not day:
        raise InputError("the file does not say when it was made; give --measured-on DAY")
    return day
