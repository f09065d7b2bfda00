"""What a reader of an imported record must know, each with its number and the limit it passed."""

from collections.abc import Iterator, Sequence

from engine.calibrate.ingest.rate import OPEN_LOOP_SHARE, Sustained, fastest, tail_at_most
from engine.calibrate.ingest.tool_level import ToolLevel
from engine.calibrate.metrics import samples_needed
from engine.calibrate.record_parts import Flag, FlagCode


def flags_of(tool: str, names: Sequence[str], levels: Sequence[ToolLevel], rate: Sustained) -> tuple[Flag, ...]:
    """All flags, those of single levels first."""
    found = [flag for name, level in zip(names, levels, strict=True) for flag in _of_level(name, level)]
    return (*found, *_of_import(tool, levels, rate))


def _flag(code: FlagCode, message: str, value: float | None, limit: float | None, level: str | None = None) -> Flag:
    return Flag(code=code, level=level, value=value, limit=limit, message=message)


def _of_level(name: str, level: ToolLevel) -> Iterator[Flag]:
    if level.attempted is not None and level.finished is not None and level.attempted > level.finished:
        lost = level.attempted - level.finished
        yield _flag("errors", f"{lost} requests of {name} did not finish; no latency counts them", lost, 0, name)
    if not level.complete:
        yield _flag("incomplete", f"{name} was cancelled; its latencies are not used", None, None, name)
    needed = samples_needed(0.95)
    if level.load is not None and level.load.mode == "open" and level.ttft.n is not None and level.ttft.n < needed:
        message = f"{level.ttft.n} requests finished in {name}; a p95 needs {needed}, so its latencies are not used"
        yield _flag("few_samples", message, level.ttft.n, needed, name)
    if tail_at_most(level):
        for metric, latency in (("TTFT", level.ttft), ("TPOT", level.tpot)):
            if 95 not in latency.percentiles:
                message = f"the file has no p95 {metric} of {name}; its p99, which lies no lower, stands in for it"
                yield _flag("imported", message, latency.percentiles[99], None, name)


def _of_import(tool: str, levels: Sequence[ToolLevel], rate: Sustained) -> Iterator[Flag]:
    yield _flag(
        "imported",
        f"{len(levels)} levels come from a file of {tool}; what it does not say is unknown",
        len(levels),
        None,
    )
    if rate.fitted == 0:
        most = fastest(levels).requests_per_s
        message = (
            "no level has random arrivals and a latency tail, so closed loops or evenly spaced requests are all there "
            f"is; they overstate what can be sustained, so no more than {OPEN_LOOP_SHARE} of the {most:.3g} requests/s "
            "that were reached counts"
        )
        yield _flag("closed_loop_only", message, most, OPEN_LOOP_SHARE * most)
    if rate.at_least and rate.rate is not None:
        message = "the highest rate that was sent met the SLO; more may be possible"
        yield _flag("unresolved", message, rate.rate.requests_per_s, rate.rate.requests_per_s)
    message = f"nothing was repeated here; {rate.fitted} levels of random arrivals say what is sustained"
    yield _flag("not_verified", message, rate.fitted, None)
