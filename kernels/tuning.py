"""How each kernel is launched, looked up in `tuning.json`; nothing is tried out at run time.

The table is data, so that a script that measures on a GPU can write it (`benchmarks/tune.py`). Its `rules` are, for
each kernel, in the order they are tried: `{"when": {"head_dim_max": 128, "capability_min": 90}, "use": {"tile": 64}}`.
A rule holds when each fact it names is within its bound (inclusive); the last rule of a kernel has no conditions.
`measured` says on which GPUs, and with which versions, rules of their capability were timed. Rules of any other
capability are guesses: as long as `measured` is empty, all of them.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton

Rules = dict[str, list[dict[str, Any]]]  # by kernel

PATH = Path(__file__).with_suffix(".json")
TABLE: Rules = json.loads(PATH.read_text())["rules"]


@dataclass(frozen=True, slots=True)
class Device:
    """What a launch depends on: streaming multiprocessors, and compute capability as major * 10 + minor."""

    multiprocessors: int
    capability: int


# What is assumed where no GPU is asked, which is under Triton's interpreter and in ahead-of-time compilation.
ABSENT = Device(multiprocessors=132, capability=90)


@functools.cache
def device_of(place: torch.device) -> Device:
    """The numbers of the GPU a tensor lives on."""
    if place.type != "cuda":
        return ABSENT
    properties = torch.cuda.get_device_properties(place)
    return Device(properties.multi_processor_count, properties.major * 10 + properties.minor)


@dataclass(frozen=True, slots=True)
class DecodeLaunch:
    """`tile` tokens of KV at a time; each sequence's context is cut into at most `splits` parts.

    No part is shorter than `split_tokens`, so short contexts use fewer parts than the grid has.
    """

    tile: int
    warps: int
    stages: int
    splits: int
    split_tokens: int


@functools.cache
def decode(device: Device, batch: int, kv_heads: int, group: int, head_dim: int) -> DecodeLaunch:
    """The splits make enough programs for all multiprocessors, whatever the lengths; powers of two, so few variants."""
    rule = choose("decode", capability=device.capability, batch=batch, group=group, head_dim=head_dim)
    return decode_by(rule, device, batch, kv_heads)


def decode_by(rule: dict[str, int], device: Device, batch: int, kv_heads: int) -> DecodeLaunch:
    """What a rule comes to for so many sequences."""
    wanted = triton.cdiv(rule["programs_per_sm"] * device.multiprocessors, batch * kv_heads)
    splits = min(triton.next_power_of_2(wanted), rule["splits_max"])
    return DecodeLaunch(rule["tile"], rule["warps"], rule["stages"], splits, rule["split_tokens"])


@dataclass(frozen=True, slots=True)
class PrefillLaunch:
    """`rows` pairs of query token and query head of one KV head, against `tile` tokens of KV at a time."""

    rows: int
    tile: int
    warps: int
    stages: int


@functools.cache
def prefill(device: Device, tokens: int, group: int, head_dim: int) -> PrefillLaunch:
    rule = choose("prefill", capability=device.capability, tokens=tokens, group=group, head_dim=head_dim)
    return PrefillLaunch(**rule)


@dataclass(frozen=True, slots=True)
class LinearLaunch:
    """A program multiplies `rows` tokens with `columns` outputs, `depth` inputs at a time."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


@functools.cache
def linear(device: Device, tokens: int, size_out: int) -> LinearLaunch:
    """For weights of 8 bits."""
    return LinearLaunch(**choose("linear", capability=device.capability, tokens=tokens, out=size_out))


@functools.cache
def experts(device: Device, pairs: int, count: int) -> LinearLaunch:
    """For `count` experts that share so many pairs of token and expert."""
    rule = choose("experts", capability=device.capability, pairs=pairs, mean=triton.cdiv(pairs, count))
    return LinearLaunch(**rule)


def choose(kernel: str, **facts: int) -> dict[str, int]:
    """What the first rule that holds for `facts` says."""
    for rule in TABLE[kernel]:
        if all(_holds(condition, bound, facts) for condition, bound in rule["when"].items()):
            use: dict[str, int] = rule["use"]
            return use
    raise LookupError(f"tuning.json has no rule of {kernel!r} for {facts}; its last rule must have no conditions")


def _holds(condition: str, bound: int, facts: dict[str, int]) -> bool:
    fact, side = condition.rsplit("_", 1)
    return facts[fact] <= bound if side == "max" else facts[fact] >= bound
