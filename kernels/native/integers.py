"""Products with int8 weights by integers.cpp, on CPUs with AMX, or AVX-512 for integers and bfloat16."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.native.build import library, multiplies

DEPTH = 64  # inputs that a tile of weights spans
STRIPS = 32  # outputs that are computed together


@dataclass(frozen=True, slots=True)
class PackedIntegers:
    """`[outputs, inputs]` int8 in the order in which tiles are read, and `scales [outputs]` float32.

    `offsets` are int32, what sums start at where digits are raised to have no sign.
    """

    packed: Tensor
    offsets: Tensor
    outputs: int
    inputs: int
    scales: Tensor


def available() -> bool:
    """Whether this CPU multiplies so. Raises `build.Unavailable` without a compiler."""
    return multiplies(library(), "int8")


def pack(weight: Tensor, scales: Tensor) -> PackedIntegers:
    """`weight [outputs, inputs]` int8, of which `scales [outputs]` float32 are to be multiplied with each row."""
    outputs, inputs = weight.shape
    weight = weight.contiguous()
    rows = -(-outputs // STRIPS) * STRIPS
    packed = torch.empty(rows * -(-inputs // DEPTH) * DEPTH, dtype=torch.int8)
    offsets = torch.empty(rows, dtype=torch.int32)
    library().pack_int8(weight.data_ptr(), outputs, inputs, packed.data_ptr(), offsets.data_ptr())
    return PackedIntegers(packed, offsets, outputs, inputs, scales.contiguous())


def linear(x: Tensor, weight: PackedIntegers, bias: Tensor | None) -> Tensor:
    """`x [T, inputs]` bfloat16 to `[T, outputs]` bfloat16, from exact sums of two 8-bit digits; `bias` float32."""
    x, rows = x.contiguous(), x.shape[0]
    out = x.new_empty(rows, weight.outputs)
    parts = (part.data_ptr() for part in (weight.packed, weight.offsets, weight.scales))
    addends = None if bias is None else bias.data_ptr()
    sizes = rows, weight.inputs
    library().scaled_linear_int8(x.data_ptr(), *sizes, *parts, addends, weight.outputs, out.data_ptr())
    return out
