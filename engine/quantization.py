"""Weight matrices in 8 bits with a scale an output. Embeddings, norms and routers stay as they are.

int8   symmetric, -127 to 127, for CPUs. Only weights are rounded. Native code widens them to bfloat16, which is exact,
       as it multiplies. Elsewhere a token's numbers are split into 8-bit digits, so many that rounding them loses less
       than their own type does, and multiplied in whole numbers. Either way what comes out for a token is the same, bit
       for bit, whatever else is in the batch. Where oneDNN's sums would lose some, PyTorch widens the weight.
fp8    float8_e4m3fn, for GPUs. A CPU widens the weight each time, which is slow.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine import footprint, linear
from engine.config import ModelShape
from engine.linear import Linear, Tiled
from engine.model import Mlp
from engine.operations import Activation, Operations
from kernels import reference
from kernels.native import matmul

# From `weight [out, in]` and `bias [out]` to what multiplies by them.
MakeLinear = Callable[[Tensor, Tensor | None], Linear]

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
DIGITS = {torch.bfloat16: 2, torch.float32: 3}  # which keep a row's numbers to 1/254² and 1/254³ of its largest
ROWS_AT_ONCE = 256  # whose digits and products exist at one time


def make_linear(quantization: str, *, native: bool) -> MakeLinear:
    """For `quantization` none, int8 or fp8; `native` code may be part of it."""
    if quantization == "none":
        return partial(linear.linear, native=native)
    return partial(_int8, native=native) if quantization == "int8" else _fp8


def weight_bytes(shape: ModelShape, value_bytes: int, quantization: str) -> int:
    """What weight matrices take in a CPU's memory: as on a GPU, but a tied head in bfloat16 is a copy of the embedding,
    in the order that products read it in."""
    copied = quantization == "none" and shape.tied and value_bytes == 2
    copy = shape.vocab * shape.hidden * value_bytes if copied else 0
    return footprint.weight_bytes(shape, value_bytes, quantization) + copy


def quantize(weight: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """`weight [out, in]` as int8 or float8_e4m3fn, and the scales of its rows, float32 `[out]`."""
    wide = weight.float()
    scales = (wide.abs().amax(dim=1) / LARGEST[kind]).clamp_min_(torch.finfo(torch.float32).tiny)
    scaled = wide / scales[:, None]
    return (scaled.round() if kind == torch.int8 else scaled).to(kind), scales


@dataclass(frozen=True, slots=True)
class Scaled:
    """A weight in 8 bits as PyTorch keeps it, widened to float32 for each product."""

    weight: Tensor
    scales: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        product = reference.quantized_linear(x, self.weight, self.scales)
        return product if self.bias is None else product + self.bias


@dataclass(frozen=True, slots=True)
class WholeNumbers:
    """An int8 weight that digits are multiplied by, in whole numbers."""

    weight: Tensor  # [in, out], the transpose of contiguous rows
    scales: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        out = x.new_empty(len(x), len(self.scales))
        for rows, part in zip(torch.split(x, ROWS_AT_ONCE), torch.split(out, ROWS_AT_ONCE), strict=True):
            digits, units = reference.split_rows(rows, DIGITS[x.dtype])
            products = self.products(digits.flatten(0, 1)).view(len(digits), *part.shape)
            reference.join_rows(products, units, self.bias, part)
        return out

    def products(self, digits: Tensor) -> Tensor:
        return torch._int_mm(digits, self.weight).float() * self.scales


@functools.cache
def products_are_exact() -> bool:
    """Whether products of int8 are summed without losing any; oneDNN on CPUs without VNNI adds pairs in 16 bits."""
    most = torch.full((1, 256), 127, dtype=torch.int8)
    whole = WholeNumbers(most.T, torch.ones(1), None)
    return all(int(whole.products(rows)) == int(rows.long().sum()) * 127 for rows in (most, -most))


def _int8(weight: Tensor, bias: Tensor | None, native: bool) -> Linear:
    small, scales = quantize(weight, torch.int8)
    if native and weight.dtype == torch.bfloat16 and matmul.packable(weight.shape[1]):
        return Tiled(matmul.pack(small, scales), None if bias is None else bias.float())
    if weight.device.type == "cpu" and products_are_exact():
        return WholeNumbers(small.T, scales, bias)
    return Scaled(small, scales, bias)


def _fp8(weight: Tensor, bias: Tensor | None) -> Linear:
    return Scaled(*quantize(weight, torch.float8_e4m3fn), bias)


@dataclass(frozen=True, slots=True)
class QuantizedExperts:
    """`engine.model.MixtureOfExperts` with an MLP of its own for each expert."""

    router: Linear  # [experts, hidden]
    experts: list[Mlp]
    per_token: int
    normalized: bool

    def __call__(self, x: Tensor, activation: Activation, operations: Operations) -> Tensor:
        shares, chosen = operations.route(self.router(x), self.per_token, self.normalized)

        def through(expert: int, rows: Tensor) -> Tensor:
            return self.experts[expert](rows, activation, operations)

        return reference.through_experts(x, shares, chosen, len(self.experts), through)
