"""Products with weight matrices: what most of a step's time goes into."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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


def linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """The fastest way to multiply by `weight [out, in]` where it lies."""
    has_onednn = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and has_onednn:
        return Blocked(torch.ops.mkldnn._reorder_linear_weight(weight, None), bias)
    return Dense(weight, bias)
