"""Tables of rotary angles, computed once for a model."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.rope import Linear, Llama3, LongRope, Rope


@dataclass(frozen=True, slots=True)
class RotaryTable:
    """Cosine and sine `[rows, 1, dim / 2]`. A row is a position, except for LongRoPE (see `rotary_row`)."""

    cos: Tensor
    sin: Tensor

    def to(self, device: torch.device) -> "RotaryTable":
        return RotaryTable(self.cos.to(device), self.sin.to(device))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos[rows], self.sin[rows]


def rotary_table(rope: Rope, max_position: int, dtype: torch.dtype) -> RotaryTable:
    """Angles in float32 for positions below `max_position`; LongRoPE's short ones come before all long ones."""
    waves = rope.theta ** (torch.arange(0, rope.dim, 2, dtype=torch.int64).float() / rope.dim)
    scaling = rope.scaling
    if isinstance(scaling, LongRope):
        short = _angles(1.0 / (torch.tensor(scaling.short_factors) * waves), scaling.original_max_position)
        long = _angles(1.0 / (torch.tensor(scaling.long_factors) * waves), max_position)
        return _table(torch.cat([short, long]), scaling.attention_factor, dtype)
    frequencies = 1.0 / waves
    if isinstance(scaling, Linear):
        frequencies = frequencies / scaling.factor
    elif isinstance(scaling, Llama3):
        frequencies = _blended(frequencies, scaling)
    return _table(_angles(frequencies, max_position), 1.0, dtype)


def _table(angles: Tensor, factor: float, dtype: torch.dtype) -> RotaryTable:
    return RotaryTable((angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype))


def _angles(frequencies: Tensor, positions: int) -> Tensor:
    return torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)[:, None]


def _blended(frequencies: Tensor, scaling: Llama3) -> Tensor:
    wavelength = 2 * math.pi / frequencies
    turns = scaling.original_max_position / wavelength
    blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    blended = (1 - blend) * frequencies / scaling.factor + blend * frequencies
    stretched = torch.where(turns < scaling.low_freq_factor, frequencies / scaling.factor, blended)
    return torch.where(turns > scaling.high_freq_factor, frequencies, stretched)
