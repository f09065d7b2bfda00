"""Products with int8 weights by integers.cpp, on CPUs with AMX."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.native.build import library

DEPTH = 64  # inputs that a tile of weights spans
STRIPS = 32  # outputs that are computed together


@dataclass(frozen=True, slots=True)
class PackedIntegers:
    """`[outputs, inputs]` int8 in the order in which tiles are read, and `scales [outputs]` float32."""

    packed: Tensor
    outputs: int
    inputs: int
    scales: Tensor


def available() -> bool:
    """Whether this CPU multiplies tiles. Raises `build.Unavailable` without a compiler."""
    has_tiles: bool = library().amx_available()
    return has_tiles


def pack(weight: Tensor, scales: Tensor) -> PackedIntegers:
    """`weight [outputs, inputs]` int8, of which `scales [outputs]` float32 are to be multiplied with each row."""
    outputs, inputs = weight.shape
    size = -(-outputs // STRIPS) * STRIPS * -(-inputs // DEPTH) * DEPTH
    packed = torch.empty(size, dtype=torch.int8)
    library().pack_int8(weight.contiguous().data_ptr(), outputs, inputs, packed.data_ptr())
    return PackedIntegers(packed, outputs, inputs, scales.contiguous())


def linear(x: Tensor, weight: PackedIntegers, bias: Tensor | None) -> Tensor:
    """`x [T, inputs]` bfloat16 to `[T, outputs]` bfloat16, from exact sums of two 8-bit digits; `bias` float32."""
    x, rows = x.contiguous(), x.shape[0]
    out = x.new_empty(rows, weight.outputs)
    parts = weight.packed.data_ptr(), weight.scales.data_ptr(), None if bias is None else bias.data_ptr()
    library().scaled_linear_int8(x.data_ptr(), rows, weight.inputs, *parts, weight.outputs, out.data_ptr())
    return out
