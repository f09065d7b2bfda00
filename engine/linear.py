"""Products with weight matrices: what most of a step's time goes into."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.native import matmul

# `x [T, in]` to `x @ weight.T + bias`, `[T, out]`.
Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Dense:
    """`weight [out, in]` as PyTorch keeps it."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Blocked:
    """A weight in oneDNN's own layout, which a CPU reads at nearly twice the speed when rows are few."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


@dataclass(frozen=True, slots=True)
class Tiled:
    """A weight in the order in which `kernels.native.matmul` multiplies it."""

    weight: matmul.PackedWeight
    bias: Tensor | None  # float32

    def __call__(self, x: Tensor) -> Tensor:
        return matmul.linear(x, self.weight, self.bias)


def linear(weight: Tensor, bias: Tensor | None = None, *, native: bool = False) -> Linear:
    """The fastest way to multiply by `weight [out, in]` where it lies; `native` code may be part of it."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return Dense(weight, bias)
    if native and matmul.packable(weight.shape[1]):
        return Tiled(matmul.pack(weight), None if bias is None else bias.float())
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return Blocked(torch.ops.mkldnn._reorder_linear_weight(weight, None), bias)
    return Dense(weight, bias)
