"""One decoder for Llama, Mistral, Qwen2, Qwen3 and SmolLM. Families differ in biases, QK-norm and window only."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.batch import Batch
from engine.config import ModelShape, RopeScaling
from kernels import reference


@dataclass(frozen=True, slots=True)
class Linear:
    """`x @ weight.T + bias`; `weight [out, in]`."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Layer:
    attention_norm: Tensor
    qkv: Linear  # [H*D + 2*G*D, hidden]
    qk_norm: tuple[Tensor, Tensor, float] | None
    output: Linear
    mlp_norm: Tensor
    gate_up: Linear  # [2*intermediate, hidden]
    down: Linear


@dataclass(frozen=True, slots=True)
class Weights:
    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: Linear


class Decoder:
    """The forward pass over a batch laid out by `engine.batch`, on paged KV."""

    def __init__(self, shape: ModelShape, weights: Weights) -> None:
        self.shape = shape
        self.weights = weights
        self._cos, self._sin = rotary_tables(shape, weights.embedding.dtype)

    def __call__(self, batch: Batch, caches: Tensor) -> Tensor:
        """Logits `[S, V]` of the sampled tokens; writes the step's keys and values into `caches [layers, …]`."""
        eps = self.shape.rms_eps
        cos, sin = self._cos[batch.positions], self._sin[batch.positions]
        x = F.embedding(batch.tokens, self.weights.embedding)
        residual = torch.zeros_like(x)
        for layer, cache in zip(self.weights.layers, caches, strict=True):
            x = reference.add_rms_norm(x, residual, layer.attention_norm, eps)
            x = self._attention(x, layer, cache, batch, cos, sin)
            x = reference.add_rms_norm(x, residual, layer.mlp_norm, eps)
            x = layer.down(reference.silu_mul(layer.gate_up(x)))
        x = (x + residual)[batch.sampled]
        return self.weights.head(reference.rms_norm(x, self.weights.norm, eps))

    def _attention(self, x: Tensor, layer: Layer, cache: Tensor, batch: Batch, cos: Tensor, sin: Tensor) -> Tensor:
        qkv = layer.qkv(x).view(len(x), -1, self.shape.head_dim)
        queries = reference.rope_and_write_kv(qkv, cos, sin, cache, batch.slots, layer.qk_norm)
        attended = torch.empty(queries.shape, dtype=x.dtype)
        scale = self.shape.head_dim**-0.5
        reference.decode_attention(queries, cache, batch.decodes, scale, attended)
        reference.prefill_attention(queries, cache, batch.chunks, scale, attended)
        return layer.output(attended.flatten(1))


def rotary_tables(shape: ModelShape, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine `[max_position, 1, head_dim / 2]`, computed in float32."""
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.int64).float() / shape.head_dim
    frequencies = 1.0 / shape.rope_theta**exponents
    if shape.rope_scaling is not None:
        frequencies = _scaled(frequencies, shape.rope_scaling)
    angles = torch.outer(torch.arange(shape.max_position, dtype=torch.float32), frequencies)
    return angles[:, None].cos().to(dtype), angles[:, None].sin().to(dtype)


def _scaled(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3.1: long waves are stretched by the factor, short ones kept, those between blended."""
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    wavelength = 2 * math.pi / frequencies
    turns = scaling.original_max_position / wavelength
    blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    blended = (1 - blend) * frequencies / scaling.factor + blend * frequencies
    stretched = torch.where(turns < scaling.low_freq_factor, frequencies / scaling.factor, blended)
    return torch.where(turns > scaling.high_freq_factor, frequencies, stretched)
