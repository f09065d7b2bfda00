"""Rotary position embedding as a `config.json` asks for it. Torch-free; `engine.rotary` makes the tables."""

import math
from dataclasses import dataclass

from engine.errors import InputError
from engine.families import Raw


@dataclass(frozen=True, slots=True)
class Linear:
    """All waves are stretched by the factor."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3:
    """Llama 3.1: long waves are stretched by the factor, short ones kept, those between blended."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position: int


@dataclass(frozen=True, slots=True)
class LongRope:
    """Phi-3's LongRoPE: a factor for each wave, other ones for sequences longer than `original_max_position`.

    `attention_factor` scales cosine and sine. A sequence that outgrows the original length has to be computed again.
    """

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    attention_factor: float
    original_max_position: int


@dataclass(frozen=True, slots=True)
class Rope:
    """The first `dim` numbers of a head are rotated by `position * theta^(-2i/dim)`, before scaling."""

    theta: float
    dim: int
    scaling: Linear | Llama3 | LongRope | None = None


def ropes(raw: Raw, head_dim: int) -> tuple[Rope, Rope]:
    """The rotary embedding of full layers and of those with a sliding window (the same, except for Gemma 3).

    Read from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before).
    """
    given = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if "full_attention" in given:
        full, windowed = (_rope(raw, given[kind], head_dim) for kind in ("full_attention", "sliding_attention"))
        return full, windowed
    full = _rope(raw, given, head_dim)
    local_theta = raw.get("rope_local_base_freq")
    return full, full if local_theta is None else Rope(float(local_theta), full.dim)


def _rope(raw: Raw, given: Raw, head_dim: int) -> Rope:
    theta = float(given.get("rope_theta", raw.get("rope_theta", 10000.0)))
    share = 1.0
    if raw["model_type"] == "phi3":
        share = given.get("partial_rotary_factor", raw.get("partial_rotary_factor", 1.0))
    dim = int(head_dim * share)
    if dim % 2 or dim > head_dim:
        raise InputError(
            f"{dim} of the {head_dim} numbers of a head are to be rotated; it must be an even number, and at most all"
        )
    return Rope(theta, dim, _scaling(raw, given, dim))


def _scaling(raw: Raw, given: Raw, dim: int) -> Linear | Llama3 | LongRope | None:
    kind = given.get("rope_type", given.get("type", "default"))
    if raw["model_type"] == "phi3" and kind in ("su", "yarn"):
        kind = "longrope"  # what early Phi-3 checkpoints call it
    if kind in ("default", "dynamic"):  # dynamic stretches beyond max_position only, where no request is accepted
        return None
    if kind == "linear":
        return Linear(float(given["factor"]))
    original = raw.get("original_max_position_embeddings") or given.get("original_max_position_embeddings")
    original = original or raw["max_position_embeddings"]
    if kind == "llama3":
        return Llama3(given["factor"], given["low_freq_factor"], given["high_freq_factor"], original)
    if kind == "longrope":
        return _longrope(given, dim, original, raw["max_position_embeddings"])
    raise InputError(
        f"rope scaling {kind!r} is not supported; supported are default, linear, dynamic, llama3 and longrope"
    )


def _longrope(given: Raw, dim: int, original: int, longest: int) -> LongRope:
    for name in ("short_factor", "long_factor"):
        if len(given[name]) != dim // 2:
            raise InputError(
                f"rope scaling {name} has {len(given[name])} numbers; {dim} rotated values need {dim // 2}"
            )
    factor = given.get("factor") or longest / original
    derived = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    attention_factor = given.get("attention_factor")
    return LongRope(
        tuple(given["short_factor"]),
        tuple(given["long_factor"]),
        derived if attention_factor is None else attention_factor,
        original,
    )
