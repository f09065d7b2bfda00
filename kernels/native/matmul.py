"""Products with weight matrices by matmul.cpp, on CPUs with AVX-512 for bfloat16."""

from dataclasses import dataclass

from torch import Tensor

from kernels.native.build import library, multiplies

DEPTH = 32  # inputs that a tile of weights spans
STRIPS = 32  # outputs that are computed together


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """`[outputs, inputs]`, bfloat16 or int8, in the order in which it is read; int8 has `scales [outputs]` float32."""

    packed: Tensor
    outputs: int
    inputs: int
    scales: Tensor | None = None


def packable(inputs: int) -> bool:
    """Whether this CPU multiplies so, and the inputs fill tiles. Raises `build.Unavailable` without a compiler."""
    return multiplies(library()) and inputs % DEPTH == 0


def pack(weight: Tensor, scales: Tensor | None = None) -> PackedWeight:
    """`weight [outputs, inputs]` bfloat16, or int8 with the `scales [outputs]` float32 of its rows; see `packable`."""
    outputs, inputs = weight.shape
    weight = weight.contiguous()
    packed = weight.new_empty(-(-outputs // STRIPS) * STRIPS * inputs)
    pack_ = library().pack_bfloat16 if scales is None else library().pack_int8
    pack_(weight.data_ptr(), outputs, inputs, packed.data_ptr())
    return PackedWeight(packed, outputs, inputs, None if scales is None else scales.contiguous())


def linear(x: Tensor, weight: PackedWeight, bias: Tensor | None) -> Tensor:
    """`x [T, inputs]` bfloat16 to `[T, outputs]` bfloat16, summed in float32; `bias [outputs]` float32."""
    x = x.contiguous()
    out = x.new_empty(len(x), weight.outputs)
    numbers = x.data_ptr(), len(x), weight.inputs, weight.packed.data_ptr()
    rest = None if bias is None else bias.data_ptr(), weight.outputs, out.data_ptr()
    if weight.scales is None:
        library().linear_bfloat16(*numbers, *rest)
    else:
        library().linear_int8(*numbers, weight.scales.data_ptr(), *rest)
    return out
