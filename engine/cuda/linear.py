"""Products with weight matrices on a GPU: cuBLAS's, or for weights in 8 bits those of `kernels.matmul`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.linear import Dense, Linear
from engine.quantization import MakeLinear, quantize
from kernels.matmul import quantized_linear

STORED = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}


@dataclass(frozen=True, slots=True)
class Widened:
    """`weight [out, in]` in 8 bits and `scales [out]`, widened to x's dtype on the way to the multiplier."""

    weight: Tensor
    scales: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        product = quantized_linear(x, self.weight, self.scales)
        return product if self.bias is None else product.add_(self.bias)


def make_linear(quantization: str) -> MakeLinear:
    """For `quantization` none, int8 or fp8."""

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        return Widened(*quantize(weight, STORED[quantization]), bias)

    return Dense if quantization == "none" else make
