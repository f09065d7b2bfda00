"""Products with weight matrices by matmul.cpp, on CPUs with AMX."""

from dataclasses import dataclass

from torch import Tensor

from kernels.native.build import library

DEPTH = 32  # inputs that a tile of weights spans
STRIPS = 32  # outputs that are computed together


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """`[outputs, inputs]` in the order in which tiles are read; int8 ones have `scales [outputs]` float32."""

    packed: Tensor
    outputs: int
    inputs: int
    scales: Tensor | None


def packable(inputs: int) -> bool:
    """Whether this CPU multiplies tiles, and the inputs fill them. Raises `build.Unavailable` without a compiler."""
    available: bool = library().amx_available()
    return available and inputs % DEPTH == 0


def pack(weight: Tensor, scales: Tensor | None = None) -> PackedWeight:
    """`weight [outputs, inputs]`: bfloat16, or int8 with `scales [outputs]`; see `packable`."""
    outputs, inputs = weight.shape
    packed = weight.new_empty(-(-outputs // STRIPS) * STRIPS * inputs)
    kind = "bfloat16" if scales is None else "int8"
    getattr(library(), f"pack_{kind}")(weight.contiguous().data_ptr(), outputs, inputs, packed.data_ptr())
    return PackedWeight(packed, outputs, inputs, None if scales is None else scales.float().contiguous())


def linear(x: Tensor, weight: PackedWeight, bias: Tensor | None) -> Tensor:
    """`x [T, inputs]` bfloat16 to `[T, outputs]` bfloat16, summed in float32; `bias [outputs]` float32."""
    x = x.contiguous()
    out = x.new_empty(len(x), weight.outputs)
    kind = "bfloat16" if weight.scales is None else "int8"
    scales = None if weight.scales is None else weight.scales.data_ptr()
    addends = None if bias is None else bias.data_ptr()
    sizes = x.data_ptr(), len(x), weight.inputs, weight.packed.data_ptr()
    getattr(library(), f"linear_{kind}")(*sizes, scales, addends, weight.outputs, out.data_ptr())
    return out
