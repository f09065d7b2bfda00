"""Products with weight matrices by matmul.cpp, on CPUs with AMX, or AVX-512 for bfloat16."""

from dataclasses import dataclass

from torch import Tensor

from kernels.native.build import library, multiplies

DEPTH = 32  # inputs that a tile of weights spans
STRIPS = 32  # outputs that are computed together


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """`[outputs, inputs]` bfloat16 in the order in which tiles are read."""

    packed: Tensor
    outputs: int
    inputs: int


def packable(inputs: int) -> bool:
    """Whether this CPU multiplies so, and the inputs fill tiles. Raises `build.Unavailable` without a compiler."""
    return multiplies(library(), "bfloat16") and inputs % DEPTH == 0


def pack(weight: Tensor) -> PackedWeight:
    """`weight [outputs, inputs]` bfloat16; see `packable`."""
    outputs, inputs = weight.shape
    weight = weight.contiguous()
    packed = weight.new_empty(-(-outputs // STRIPS) * STRIPS * inputs)
    library().pack_bfloat16(weight.data_ptr(), outputs, inputs, packed.data_ptr())
    return PackedWeight(packed, outputs, inputs)


def linear(x: Tensor, weight: PackedWeight, bias: Tensor | None) -> Tensor:
    """`x [T, inputs]` bfloat16 to `[T, outputs]` bfloat16, summed in float32; `bias [outputs]` float32."""
    x, rows = x.contiguous(), x.shape[0]
    out = x.new_empty(rows, weight.outputs)
    addends = None if bias is None else bias.data_ptr()
    sizes = rows, weight.inputs
    library().linear_bfloat16(x.data_ptr(), *sizes, weight.packed.data_ptr(), addends, weight.outputs, out.data_ptr())
    return out
