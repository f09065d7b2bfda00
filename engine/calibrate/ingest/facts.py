"""What is known of the replica that was measured: what the file says, and what the person adds to it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from engine.calibrate.gpu_facts import gpu_facts, gpus_named
from engine.calibrate.slo import DEFAULT, Slo
from engine.errors import InputError

CPU = "CPU"
_SNAPSHOT = re.compile(r"models--([^/]+?)--([^/]+)")
# What a driver, a vendor or a form factor adds to a GPU's name.
_ADDED = re.compile(r"^(nvidia|amd|geforce|instinct|tesla|gpu|pcie|nvl|sxm\d*|hbm\d*e?|\d+gi?b?)$")


@dataclass(frozen=True, slots=True)
class Facts:
    """None is unknown. `gpu` is CPU for a machine without one; `gpus` is how many serve one replica."""

    model: str | None = None
    gpu: str | None = None
    gpus: int | None = None
    engine: str | None = None
    engine_version: str | None = None
    dtype: str | None = None
    tensor_parallel: int | None = None
    prefix_cache: bool | None = None
    speculative: bool | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What the person says. The load is for files that have none, the day for files that don't tell when they were
    made; `today` is written where nobody knows."""

    facts: Facts = Facts()
    slo: Slo = DEFAULT
    requests_per_s: float | None = None
    concurrency: int | None = None
    measured_on: str | None = None
    today: str = ""

    def __post_init__(self) -> None:
        for value, flag in ((self.facts.gpus, "--gpus"), (self.facts.tensor_parallel, "--tensor-parallel")):
            if value is not None and value < 1:
                raise InputError(f"{flag} is {value}; it must be 1 or more")
        if self.facts.gpu == CPU and self.facts.gpus:
            raise InputError("--gpus is for GPUs; leave it out with --gpu CPU")
        if self.requests_per_s is not None and not 0 < self.requests_per_s < float("inf"):
            raise InputError(f"--request-rate is {self.requests_per_s:g}; it must be above 0")
        if self.concurrency is not None and self.concurrency < 1:
            raise InputError(f"--concurrency is {self.concurrency}; it must be 1 or more")
        if self.requests_per_s is not None and self.concurrency is not None:
            raise InputError("--request-rate is open loop and --concurrency closed loop; give the one that was used")
        for day, flag in ((self.measured_on, "--measured-on"), (self.today, "today")):
            if day and not _is_day(day):
                raise InputError(f"{flag} is {day!r}; it must be a day, as 2026-11-30")


def _is_day(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d") == text
    except ValueError:
        return False


def facts_agreed(found: Iterable[tuple[str, Facts]]) -> Facts:
    """What all results of an import say together. Raises InputError where two differ: a record is of one replica."""
    agreed = Facts()
    for where, facts in found:
        for name in _names():
            ours, theirs = getattr(agreed, name), getattr(facts, name)
            if ours is None:
                agreed = replace(agreed, **{name: theirs})
            elif theirs is not None and not _same(name, ours, theirs):
                raise InputError(
                    f"{where}: {name} is {theirs}, in another result it is {ours}; import what was measured of one "
                    "replica at a time"
                )
    return agreed


def facts_completed(found: Facts, given: Facts) -> Facts:
    """The file's facts with the person's. Raises InputError where they contradict each other, or where a record would
    mean nothing without what lacks. The person's words are kept: they say `H100 SXM` where a file says `h100`."""
    complete = found
    for name in _names():
        ours, theirs = getattr(found, name), getattr(given, name)
        if theirs is None:
            continue
        if ours is not None and not _same(name, ours, theirs):
            raise InputError(f"{flag_of(name)} {_word(theirs)}: the file says {_word(ours)}; leave the flag out")
        complete = replace(complete, **{name: theirs})
    _check_gpu(complete.gpu, typed=given.gpu is not None)
    if complete.tensor_parallel and complete.gpus and complete.tensor_parallel > complete.gpus:
        raise InputError(f"--tensor-parallel {complete.tensor_parallel} needs as many GPUs; --gpus is {complete.gpus}")
    lacking = [flag_of(name) for name in ("model", "gpu", "gpus") if getattr(complete, name) is None]
    if complete.gpu == CPU:
        lacking = [flag for flag in lacking if flag != "--gpus"]
    if lacking:
        raise InputError(f"the file does not say what was measured; give {', '.join(lacking)}")
    return complete


def _check_gpu(gpu: str | None, *, typed: bool) -> None:
    """A record's GPU has to be one that the other commands know, and no slip of the pen. What a file calls a GPU is no
    slip, so one that is not known stays; one that may be several is asked for."""
    if gpu is None or gpu == CPU:
        return
    if typed:
        gpu_facts(gpu)
        return
    names = [known.name for known in gpus_named(gpu)]
    if len(names) > 1:
        raise InputError(f"the file says {gpu}, which may be {' or '.join(names)}; say which with --gpu")


def flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def model_name(text: str | None) -> str | None:
    """A model's name from what a benchmark calls it, which may be a path on its machine; None for a mere hash."""
    if text is None:
        return None
    snapshot = _SNAPSHOT.search(text)
    if snapshot:
        return f"{snapshot[1]}/{snapshot[2]}"
    if not re.match(r"^([/~.]|[A-Za-z]:|\w+://)", text):
        return text
    last = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return None if re.fullmatch(r"[0-9a-f]{32,}|\.*", last) else last


def _names() -> list[str]:
    return [field.name for field in fields(Facts)]


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _same(name: str, one: Any, other: Any) -> bool:
    if name == "gpu":
        return _gpu_kind(one) == _gpu_kind(other)
    if name == "model":
        return _last_part(one) == _last_part(other)
    if isinstance(one, str):
        return one.lower().removeprefix("v") == str(other).lower().removeprefix("v")
    return bool(one == other)


def _last_part(model: str) -> str:
    return model.rsplit("/", 1)[-1].lower()


def _gpu_kind(name: str) -> frozenset[str]:
    """`NVIDIA H100 80GB HBM3`, `H100-SXM` and `h100` are one kind."""
    words = frozenset(re.split(r"[^a-z0-9]+", name.lower())) - {""}
    return frozenset(word for word in words if not _ADDED.match(word)) or words
