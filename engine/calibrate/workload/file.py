"""Reads a workload file, which is JSON and has one of

    {"preset": "8k/1k"}                                                     a pair that has a name
    {"input_tokens": {"mean": 1155}, "output_tokens": {"mean": 211}}        as in a case; run as fixed lengths
    {"input_tokens": {"mean": 1155, "p95": 3500}, "output_tokens": …}       a lognormal distribution
    {"input_tokens": {"histogram": [{"tokens": 374, "share": 0.5}, …]}, …}  as in a resolved case
    {"mix": [{"input": 512, "output": 128, "weight": 3}, …]}
    {"trace": "trace.jsonl"}          Mooncake JSONL, or Azure's CSV; relative to the workload file

and beside it, where wanted,

    "burstiness": 0.5          gamma shape of arrivals, 1 is Poisson
    "arrivals": "trace"        instead: the trace's own, stretched to the rate that is tried
    "prefix_hit_share": 0.4    share of prompt tokens that a common beginning makes a warm prefix cache find
    "hash_block_tokens": 16    tokens of a block that the trace's hash ids name; 512 unless given
    "text": "corpus.txt"       what prompts are cut from; random tokens unless given
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.calibrate.workload.distribution import Distribution, distribution_read
from engine.calibrate.workload.lengths import Content, Corpus, Lengths, found_share
from engine.calibrate.workload.numbers import positive, share, whole_tokens
from engine.calibrate.workload.trace import HASH_BLOCK_TOKENS, trace_read
from engine.calibrate.workload.traffic import Workload, burstiness_of
from engine.errors import InputError

PRESETS = {
    "1k/1k": Lengths(1024, 1024),
    "8k/1k": Lengths(8192, 1024),
    "2k/128": Lengths(2048, 128),
    "512/256": Lengths(512, 256),
}
KINDS = ("preset", "mix", "trace", "input_tokens")
KNOWN = {*KINDS, "output_tokens", "burstiness", "arrivals", "prefix_hit_share", "hash_block_tokens", "text"}
MOST_TEXT_BYTES = 64 * 1024 * 1024

Raw = dict[str, Any]


def workload_fixed(input_tokens: float, output_tokens: float, *, burstiness: float = 1.0) -> Workload:
    """Every request alike; raises InputError for lengths under one token. Means are rounded to whole tokens."""
    prompt = whole_tokens("input_tokens", round(input_tokens))
    answer = whole_tokens("output_tokens", round(output_tokens))
    return Workload("fixed", (Lengths(prompt, answer),), (1.0,), burstiness)


def workload_read(path: Path) -> Workload:
    """Read a workload file, or take a preset by its name alone; raises InputError naming the field or line, what was
    wrong and what would be right."""
    if str(path) in PRESETS:
        return _preset(str(path))
    raw = _object(path)
    unknown = raw.keys() - KNOWN
    if unknown:
        raise InputError(f"--workload {path}: {min(unknown)} is not known; known are {', '.join(sorted(KNOWN))}")
    given = [key for key in KINDS if key in raw]
    if len(given) != 1 or (given != ["input_tokens"] and "output_tokens" in raw):
        raise InputError(
            f"--workload {path} must have exactly one of preset, mix, trace, or input_tokens with output_tokens; "
            f"it has {' and '.join(key for key in (*KINDS, 'output_tokens') if key in raw) or 'none'}"
        )
    named = _trace_named(raw)
    if named is None:
        _refuse_without_trace(raw)
        workload = _untraced(raw)
    else:
        workload = _traced(named, raw, path.parent)
    return _with_content(workload, raw, path.parent)


def _object(path: Path) -> Raw:
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"--workload {path} can't be read ({error.strerror}); give a JSON file, or one of {', '.join(PRESETS)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"--workload {path} is not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise InputError(f"--workload {path} holds {type(raw).__name__}; it must be a JSON object")
    return raw


def _untraced(raw: Raw) -> Workload:
    burstiness = positive("burstiness", raw.get("burstiness", 1.0))
    if "preset" in raw:
        return replace(_preset(raw["preset"]), burstiness=burstiness)
    if "mix" in raw:
        return _mix(raw["mix"], burstiness)
    inputs, outputs = (distribution_read(name, raw.get(name)) for name in ("input_tokens", "output_tokens"))
    return _independent(inputs, outputs, burstiness)


def _preset(name: Any) -> Workload:
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(f"preset is {json.dumps(name)}; it must be one of {', '.join(PRESETS)}")
    return Workload("fixed", (PRESETS[name],), (1.0,), preset=name)


def _mix(entries: Any, burstiness: float) -> Workload:
    if not isinstance(entries, list) or not entries:
        raise InputError("mix must be a list with at least one {input, output, weight}")
    lengths, weights = [], []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.keys() != {"input", "output", "weight"}:
            raise InputError(f"mix[{number}] must have exactly input, output and weight")
        lengths.append(
            Lengths(
                whole_tokens(f"mix[{number}].input", entry["input"]),
                whole_tokens(f"mix[{number}].output", entry["output"]),
            )
        )
        weights.append(positive(f"mix[{number}].weight", entry["weight"]))
    return Workload("mix", tuple(lengths), tuple(weights), burstiness)


def _independent(inputs: Distribution, outputs: Distribution, burstiness: float) -> Workload:
    """Every input with every output: two distributions say nothing of which come together."""
    if inputs.constant and outputs.constant:
        return workload_fixed(inputs.mean, outputs.mean, burstiness=burstiness)
    pairs = [Lengths(one, other) for one in inputs.tokens for other in outputs.tokens]
    weights = [one * other for one in inputs.shares for other in outputs.shares]
    return Workload("distribution", tuple(pairs), tuple(weights), burstiness, distributions=(inputs, outputs))


def _trace_named(raw: Raw) -> str | None:
    """The trace of a workload, or of a case's lengths, both of which must come from it; None where there is none."""
    lengths = [raw.get(name) for name in ("input_tokens", "output_tokens")]
    named = [given["trace"] for given in lengths if isinstance(given, dict) and given.keys() == {"trace"}]
    if "trace" in raw:
        named = [raw["trace"], raw["trace"]]
    if not named:
        return None
    if len(named) == 1 or named[0] != named[1]:
        raise InputError("input_tokens and output_tokens must come from the same trace, or neither from one")
    if not isinstance(named[0], str):
        raise InputError(f"trace is {json.dumps(named[0])}; it must be the path of a .jsonl or .csv file")
    return named[0]


def _refuse_without_trace(raw: Raw) -> None:
    for key in ("arrivals", "hash_block_tokens"):
        if key in raw:
            raise InputError(f"{key} is {json.dumps(raw[key])}, but there is no trace; leave it out, or give a trace")


def _traced(name: str, raw: Raw, folder: Path) -> Workload:
    block = whole_tokens("hash_block_tokens", raw.get("hash_block_tokens", HASH_BLOCK_TOKENS))
    trace = trace_read(folder / name, block)
    workload = Workload(
        "trace",
        trace.lengths,
        (1.0,) * len(trace.lengths),
        positive("burstiness", raw.get("burstiness", 1.0)),
        trace=trace.name,
        trace_sha256=trace.sha256,
        by_hash_ids=trace.has_hash_ids,
        prefix_hit_share=found_share(trace.lengths),
    )
    arrivals = raw.get("arrivals", "gamma")
    if arrivals not in ("gamma", "trace"):
        raise InputError(f'arrivals is {json.dumps(arrivals)}; it must be "gamma" (by burstiness) or "trace"')
    if arrivals == "gamma":
        return workload
    if "burstiness" in raw:
        raise InputError("burstiness can't be asked for when arrivals are the trace's own; leave one of them out")
    return replace(workload, gaps=trace.gaps, burstiness=burstiness_of(trace.gaps))


def _with_content(workload: Workload, raw: Raw, folder: Path) -> Workload:
    """What prompts are made of. A share that is given replaces what a trace's hash ids say."""
    corpus = _corpus(raw["text"], folder) if "text" in raw else None
    if "prefix_hit_share" not in raw:
        return replace(workload, content=Content(corpus=corpus))
    wanted = share("prefix_hit_share", raw["prefix_hit_share"])
    return replace(
        workload,
        lengths=tuple(Lengths(pair.input, pair.output) for pair in workload.lengths),
        by_hash_ids=False,
        prefix_hit_share=wanted,
        content=Content(wanted, corpus),
    )


def _corpus(name: Any, folder: Path) -> Corpus:
    if not isinstance(name, str):
        raise InputError(f"text is {json.dumps(name)}; it must be the path of a text file")
    path = (folder / name).resolve()
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MOST_TEXT_BYTES else b""
        empty = not data.decode().strip()
    except (OSError, ValueError) as error:
        raise InputError(f"text {path} can't be read ({error}); give a text file in UTF-8") from None
    if empty:
        wrong = "is empty" if size <= MOST_TEXT_BYTES else f"has {size:,} bytes"
        raise InputError(f"text {path} {wrong}; it must have some text, and at most {MOST_TEXT_BYTES:,} bytes")
    return Corpus(str(path), hashlib.sha256(data).hexdigest())
